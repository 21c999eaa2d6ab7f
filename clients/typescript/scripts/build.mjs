// Builds tallygate.js and tallygate.d.ts into each of the folders given.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { build } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const [first, ...others] = process.argv.slice(2).map((folder) => resolve(folder));
mkdirSync(first, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: ["src/index.ts"],
  outfile: `${first}/tallygate.js`,
  bundle: true,
  format: "esm",
  target: "es2022",
  minifyWhitespace: true,
  legalComments: "inline",
  banner: { js: "// Tallygate's client. Made from clients/typescript; types: tallygate.d.ts\n// It contains eventsource-parser, (c) Espen Hovlandsdal, MIT licence." },
});
const types = `${first}/tallygate.d.ts`;
const bundler = `${root}node_modules/.bin/dts-bundle-generator`;
const project = `${root}tsconfig.build.json`;
execFileSync(bundler, ["--silent", "--no-banner", "--export-referenced-types=false", "--project", project, "-o", types, `${root}src/index.ts`], {
  stdio: "inherit",
});
writeFileSync(types, readFileSync(types, "utf8").replace(/^#!.*\n/, ""));
for (const folder of others) {
  mkdirSync(folder, { recursive: true });
  for (const name of ["tallygate.js", "tallygate.d.ts"]) copyFileSync(`${first}/${name}`, `${folder}/${name}`);
}
