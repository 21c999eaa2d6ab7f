/** Views: the bodies of answers. */

import type { components } from "./schema.ts";

type Schemas = components["schemas"];
export type Account = Schemas["Account"];
export type Alive = Schemas["Alive"];
export type Anomaly = Schemas["Anomaly"];
export type Asset = Schemas["Asset"];
export type Batch = Schemas["Batch"];
export type Breakdown = Schemas["Breakdown"];
export type Change = Schemas["Change"];
export type Changes = Schemas["Changes"];
export type Coverage = Schemas["Coverage"];
export type Holders = Schemas["Holders"];
export type KnownPart = Schemas["KnownPart"];
export type Merchants = Schemas["Merchants"];
export type MissingPart = Schemas["MissingPart"];
export type Part = Schemas["Part"];
export type Past = Schemas["Past"];
export type PastBreakdown = Schemas["PastBreakdown"];
export type Me = Schemas["Me"];
export type Moved = Schemas["Moved"];
export type Readiness = Schemas["Readiness"];
export type Reconciliation = Schemas["Reconciliation"];
export type Row = Schemas["Row"];
export type RowChange = Schemas["RowChange"];
export type UpstreamAccount = Schemas["UpstreamAccount"];

/** A batch in which every merchant is there, with all of its rows. */
export type WholeBatch = Batch & { complete: true; merchants: KnownPart[] };

/** A breakdown in which every merchant is there. Only it has `totals`. */
export type WholeBreakdown = Schemas["WholeBreakdown"] & { merchants: KnownPart[] };

/** Holders among all merchants. */
export type WholeHolders = Holders & { complete: true };
