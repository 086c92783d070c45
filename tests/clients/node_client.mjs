// OpenAI's Node client asks for one photo's vector: node_client.mjs HTTP PHOTO. Prints JSON as
// python_clients.py does. NODE_PATH does not serve modules, so it is copied beside node_modules.
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';

const [address, photo] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: 'key' });
const model = (await client.models.list()).data[0].id;
const input = [readFileSync(photo).toString('base64')];
const vectors = {};
for (const [name, options] of Object.entries({ node: {}, 'node float': { encoding_format: 'float' } })) {
  const answer = await client.embeddings.create({ model, input, ...options });
  vectors[name] = Buffer.from(Float32Array.from(answer.data[0].embedding).buffer).toString('hex');
}
console.log(JSON.stringify(vectors));
