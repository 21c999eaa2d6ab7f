// Writes each TypeScript example of the README into the folder given, as it is and as a program that runs.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const [folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
let number = 0;
for (const [, code] of readFileSync(`${root}README.md`, "utf8").matchAll(/^```ts\n(.*?)^```/gms)) {
  const file = `${folder}/example-${++number}.ts`;
  writeFileSync(file, code);
  await build({
    entryPoints: [file],
    outfile: file.replace(/\.ts$/, ".mjs"),
    bundle: true,
    format: "esm",
    alias: { tallygate: `${root}dist/tallygate.js` },
  });
}
