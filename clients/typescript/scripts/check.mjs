// Every check of the client and of the document that it is made of. Nothing but the folder of dependencies must be there.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const document = join(root, "../openapi.json");
process.chdir(root);

function run(name, ...words) {
  console.log(`${name} ${words.join(" ")}`);
  execFileSync(name.startsWith("node") ? process.execPath : join(root, "node_modules/.bin", name), words, {
    stdio: "inherit",
    env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" },
  });
}

function compare(made, committed, command) {
  if (readFileSync(made, "utf8") === readFileSync(committed, "utf8")) return;
  throw new Error(`${relative(root, committed)} is not what the sources make: run \`${command}\` in clients/typescript.`);
}

mkdirSync(join(root, "node_modules/.cache"), { recursive: true });
const made = mkdtempSync(join(root, "node_modules/.cache/check-")); // below node_modules, so that imports are found
try {
  run("node", "scripts/types.mjs", join(made, "src"));
  for (const name of ["schema.ts", "problem_kinds.ts"]) compare(join(made, "src", name), join("src", name), "npm run types");
  run("node", "scripts/build.mjs", join(made, "built"), "dist");
  for (const name of ["tallygate.js", "tallygate.d.ts"]) {
    compare(join(made, "built", name), join("../../app/api/client", name), "npm run build");
  }
  run("node", "scripts/examples.mjs", join(made, "examples"));
  run("tsc", "-p", ".");
  run("spectral", "lint", "--fail-severity=hint", "--quiet", document);
  run("redocly", "lint", "--extends=recommended-strict", document);
  run("openapi-ts", "--input", document, "--output", join(made, "hey-api"), "--client", "@hey-api/client-fetch", "--silent", "--no-log-file");
  writeFileSync(join(made, "tsconfig.json"), JSON.stringify({
    extends: join(root, "tsconfig.json"),
    compilerOptions: { exactOptionalPropertyTypes: false, noUncheckedIndexedAccess: false, types: [], paths: { tallygate: ["./built/tallygate.d.ts"] }, typeRoots: [] },
    include: ["hey-api", "built"],
  }));
  run("tsc", "-p", made);
  writeFileSync(join(made, "examples/tsconfig.json"), JSON.stringify({
    extends: join(root, "tsconfig.json"),
    compilerOptions: { noUnusedLocals: false, paths: { tallygate: ["../built/tallygate.d.ts"] }, typeRoots: [join(root, "node_modules/@types")] },
    include: ["."],
  }));
  run("tsc", "-p", join(made, "examples"));
  process.env.EXAMPLES = join(made, "examples");
  run("node", "--test", "--test-timeout=300000", "test/");
} finally {
  rmSync(made, { recursive: true, force: true });
}
