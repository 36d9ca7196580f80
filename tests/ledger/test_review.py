"""Verdicts, held images and the audit log, on a file and on a Postgres."""

import pytest
from msgspec.structs import replace

from imagegate.ledger.people import AddTeam, Audited, TeamRecord
from imagegate.ledger.records import ConflictError
from imagegate.ledger.review import AuditRecord, DropHeld, Judge, Release, VerdictRecord
from imagegate.ledger.reviews import AuditQuestion, Reviews
from tests.ledger.databases import in_loop
from tests.ledger.rows import CREATED_AT, admit, asset, fail, settle


def verdict(number: int, name: str = "a") -> VerdictRecord:
    return VerdictRecord(
        call_id=f"call_{name}",
        number=number,
        guardrail="private",
        mode="pre_call",
        action="mask",
        category="IBAN",
    )


def entry(number: int, **changes: object) -> AuditRecord:
    fields = {"at": CREATED_AT, "key_id": None, "role": "admin", "action": "POST /admin/teams"}
    fields |= {"id": f"audit_{number:02}", "target": "team_1", "request_id": "req_1"}
    return AuditRecord(**fields | changes)  # type: ignore[arg-type]


def team(name: str) -> TeamRecord:
    return TeamRecord(id=f"team_{name}", name=name, created_at=CREATED_AT)


def question(**changes: object) -> AuditQuestion:
    return AuditQuestion(**{"limit": 10} | changes)  # type: ignore[arg-type]


def test_verdicts_come_with_what_they_were_given_on(ledger_url):
    async def test(ledger):
        await ledger.commit(replace(admit("a"), verdicts=(verdict(0),)))
        await ledger.commit(admit("b"))
        await ledger.commit(replace(settle("a"), verdicts=(verdict(1), verdict(2))))
        await ledger.commit(replace(fail("b", "refused"), verdicts=(verdict(0, "b"),)))
        await ledger.commit(Judge((verdict(3),)))
        assert await ledger.verdicts_of("call_a") == tuple(map(verdict, range(4)))
        assert await ledger.verdicts_of("call_b") == (verdict(0, "b"),)
        with pytest.raises(ConflictError):
            await ledger.commit(Judge((verdict(3),)))

    in_loop(ledger_url, test)


def test_a_change_and_its_entry_are_written_together_or_not_at_all(ledger_url):
    async def test(ledger):
        reviews = Reviews(ledger)
        await ledger.commit(Audited(AddTeam(team("Red")), entry(1)))
        with pytest.raises(ConflictError):
            await ledger.commit(Audited(AddTeam(team("Red")), entry(2)))
        with pytest.raises(ConflictError):
            await ledger.commit(Audited(AddTeam(team("Blue")), entry(1)))
        await ledger.commit(Audited(None, entry(3, key_id="key_1", target="img_1")))
        assert [one.id for one in await reviews.audit(question())] == ["audit_03", "audit_01"]
        assert [one.id for one in await reviews.audit(question(before="audit_03"))] == ["audit_01"]
        assert [one.id for one in await reviews.audit(question(key_id="key_1"))] == ["audit_03"]
        assert [one.id for one in await reviews.audit(question(target="team_1"))] == ["audit_01"]

    in_loop(ledger_url, test)


def test_an_entry_of_an_end_of_an_attempt_is_booked_as_the_end_itself(ledger_url):
    async def test(ledger):
        await ledger.commit(admit("a"))
        await ledger.commit(Audited(settle("a", cost_e10=7), entry(1)))
        (attempt,) = await ledger.attempts_of("call_a")
        assert (attempt.state, attempt.cost_e10) == ("settled", 7)

    in_loop(ledger_url, test)


def test_held_images_are_released_one_by_one_or_dropped(ledger_url):
    held = tuple(asset("a", index, file=f"held/{index}.body") for index in range(3))
    end = {"error_code": "content_policy_violation", "answer": "a refusal"}

    async def test(ledger):
        reviews = Reviews(ledger)
        await ledger.commit(admit("a"))
        await ledger.commit(replace(settle("a", **end), assets=held))
        await ledger.commit(admit("b"))
        await ledger.commit(settle("b"))
        found = await reviews.held(before="", limit=10)
        assert [one.asset.id for one in found] == ["img_a_2", "img_a_1", "img_a_0"]
        assert {one.call.id for one in found} == {"call_a"}
        (second,) = await reviews.held(before="img_a_1", limit=1)
        assert second.asset.id == "img_a_0"
        release = Release(
            asset_id="img_a_0",
            attempt_id="att_a_1",
            file="00/new",
            length=700,
            expires_at=CREATED_AT,
            answer="what came",
        )
        await ledger.commit(Audited(release, entry(1)))
        await ledger.commit(Audited(DropHeld("img_a_1"), entry(2)))
        for again in (release, DropHeld("img_a_1"), DropHeld("img_b_0")):
            with pytest.raises(ConflictError):
                await ledger.commit(Audited(again, entry(3)))
        kept = await ledger.assets_of("call_a")
        assert [(one.file, one.offset, one.length, one.encoding) for one in kept] == [
            ("00/new", 0, 700, "raw"),
            ("held/2.body", 37, 1_000, "base64"),
        ]
        (attempt,) = await ledger.attempts_of("call_a")
        assert (attempt.error_code, attempt.answer, attempt.state) == ("", "what came", "settled")
        assert await reviews.held_image("img_a_0") is None
        assert await ledger.has_in_folder("00/new")
        assert not await ledger.has_in_folder("held/1.body")
        assert len(await reviews.audit(question())) == 2

    in_loop(ledger_url, test)
