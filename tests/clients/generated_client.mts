// A generated TypeScript client asks for one photo's vector: generated_client.mjs HTTP PHOTO.
// `schema` is openapi-typescript's, of the service's own document. Prints JSON as python_clients.py does.
import { readFileSync } from 'node:fs';
import createClient from 'openapi-fetch';
import type { paths } from './schema.js';

const [address, photo] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl: address });
const hex = (vector: number[] | string | undefined) => {
  if (typeof vector !== 'object') throw new Error('no numbers');
  return Buffer.from(Float32Array.from(vector).buffer).toString('hex');
};

const input = readFileSync(photo).toString('base64');
const listed = await client.POST('/v1/embeddings', { body: { input } });
if (listed.error) throw new Error(JSON.stringify(listed.error));

const form = new FormData();
form.append('files', new Blob([readFileSync(photo)]), 'photo.jpg');
const embedded = await client.POST('/embed', { body: { files: [] }, bodySerializer: () => form });
if (embedded.error) throw new Error(JSON.stringify(embedded.error));
if (typeof embedded.data === 'string') throw new Error('rows, and no JSON');

console.log(JSON.stringify({ list: hex(listed.data.data[0]?.embedding), form: hex(embedded.data.embeddings[0]) }));
