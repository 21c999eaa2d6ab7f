// Puts the committed build into the package: packing needs neither dependencies nor a build.
import { copyFileSync, mkdirSync } from "node:fs";

const folder = new URL("../dist/", import.meta.url);
mkdirSync(folder, { recursive: true });
for (const name of ["tallygate.js", "tallygate.d.ts"]) {
  copyFileSync(new URL(`../../../app/api/client/${name}`, import.meta.url), new URL(name, folder));
}
