// One call with openai-node: `node drive.mjs NAME`. Prints what came back as one line of JSON.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { argv, env, stdout } from "node:process";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const model = "gpt-image-2.5-flare";
const file = (name) => createReadStream(join(env.FILES, name));
const client = new OpenAI({ baseURL: `${env.GATEWAY}/v1`, apiKey: env.KEY });
const azure = () =>
  new AzureOpenAI({ endpoint: env.GATEWAY, apiKey: env.KEY, apiVersion: "2024-02-01", deployment: "gpt-image-2" });
const hash = (image) => createHash("sha256").update(Buffer.from(image.b64_json, "base64")).digest("hex");

async function read(stream) {
  const events = [];
  for await (const event of stream) events.push({ type: event.type, hash: hash(event) });
  return { events };
}

const calls = {
  generate: () => client.images.generate({ model, prompt: env.PROMPT ?? "fox", n: 2 }),
  stream: () => client.images.generate({ model, prompt: "fox", stream: true, partial_images: 1 }).then(read),
  edit: () => client.images.edit({ model, prompt: "hat", image: file("a.png") }),
  edit_many: async () =>
    client.images.edit({
      model,
      prompt: "hat",
      image: [file("a.png"), await toFile(file("b.webp"), "b.webp", { type: "image/webp" })],
      mask: file("mask.png"),
    }),
  edit_stream: () =>
    client.images.edit({ model, prompt: "hat", image: file("a.png"), stream: true }).then(read),
  azure: () => azure().images.generate({ model: "gpt-image-2", prompt: "fox" }),
  azure_edit: () => azure().images.edit({ model: "gpt-image-2", prompt: "hat", image: file("a.png") }),
};

try {
  const answer = await calls[argv[2]]();
  const images = (answer.data ?? []).map(hash);
  stdout.write(JSON.stringify({ created: answer.created, images, events: answer.events ?? [] }));
} catch (error) {
  const { status = 0, code = null } = error;
  stdout.write(JSON.stringify({ error: error.constructor.name, status, code, message: error.message }));
}
