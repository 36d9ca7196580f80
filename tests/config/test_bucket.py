"""`assets.bucket`: what is wrong with it is told with its line before anything is served."""

from pathlib import Path

import pytest

from imagegate.cli.app import run
from imagegate.config.load import load_settings
from imagegate.errors import ConfigError
from tests.s3 import S3

CONFIG = """
model_list: [{{model_name: draw, params: {{model: sandbox/gpt-image-2}}}}]
assets: {{folder: data{assets}}}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write_one(assets: str) -> str:
        file = tmp_path / "config.yaml"
        file.write_text(CONFIG.format(assets=assets))
        return str(file)

    return write_one


@pytest.mark.parametrize(
    ("assets", "told"),
    [
        (", bucket: pictures", "must be s3://bucket/prefix"),
        (", bucket: 's3:///prefix'", "must be s3://bucket/prefix"),
        (", bucket: 'file:///tmp'", "must be s3://bucket/prefix"),
        (", bucket: 's3://key:secret@pictures'", "takes no key"),
        (", bucket: 's3://pictures?region=x'", "takes no key and no query"),
    ],
)
def test_what_is_no_bucket_is_a_fault(write, assets: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"line 3, assets\.bucket") as error:
        load_settings(write(assets))
    assert told in error.value.message


def test_options_come_from_the_environment_and_stay_secret(write) -> None:
    options = ", bucket: 's3://pictures/a/', bucket_options: {aws_access_key_id: os.environ/MY_ID}"
    settings = load_settings(write(options), env={"MY_ID": "AKIA-test"})
    bucket = settings.assets.bucket
    assert bucket is not None
    assert bucket.url == "s3://pictures/a"
    assert bucket.options["aws_access_key_id"].reveal() == "AKIA-test"
    assert "AKIA-test" not in repr(settings.assets)


def test_check_tells_an_option_that_does_not_exist(write, capsys) -> None:
    assert run(["check", write(", bucket: s3://a, bucket_options: {nonsense: 'x'}")]) == 3
    assert "'nonsense' is not valid" in capsys.readouterr().err.replace("\n", " ")


def test_doctor_tries_the_bucket(write, s3: S3, capsys) -> None:
    assert run(["doctor", "--config", write(s3.config)]) == 10
    assert "assets.bucket" in capsys.readouterr().out
    s3.create()
    assert run(["doctor", "--config", write(s3.config)]) == 0
    assert s3.names() == []
