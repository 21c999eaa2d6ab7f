// Writes src/schema.ts and src/problem_kinds.ts from the OpenAPI document, into the folder given or src.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const document = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));
const folder = process.argv[2] ?? new URL("../src", import.meta.url).pathname;
mkdirSync(folder, { recursive: true });

const schema = await openapiTS(document, {
  // A default is what an absent field means. It does not make the field be there.
  defaultNonNullable: false,
  transform: ({ format }) => (format === "decimal" ? ts.factory.createTypeReferenceNode("Amount") : undefined),
});
const made = "// Made from clients/openapi.json by `npm run types`.\n";
writeFileSync(`${folder}/schema.ts`, `${made}import type { Amount } from "./amounts.ts";\n\n${astToString(schema)}`);

const kinds = {};
for (const response of Object.values(document.components.responses)) {
  for (const content of Object.values(response.content ?? {})) {
    for (const [name, { value }] of Object.entries(content.examples ?? {})) kinds[name] = value.status;
  }
}
const lines = Object.keys(kinds).sort().map((name) => `  "${name}": ${kinds[name]},`);
writeFileSync(
  `${folder}/problem_kinds.ts`,
  `${made}
/** The kinds of problems, with their statuses. The gateway explains each at \`/problems/<kind>\`. */
export const PROBLEM_KINDS = {\n${lines.join("\n")}\n} as const;

export type ProblemKind = keyof typeof PROBLEM_KINDS;
`,
);
