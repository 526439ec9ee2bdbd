// What a dashboard of time series is, by the types that Grafana publishes.
import type { Dataquery } from "@grafana/grafana-foundation-sdk/prometheus";
import type * as schema from "@grafana/schema";
import type {
    FieldConfig,
    Options,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON has an enumeration's values, not its members.
type Plain<T> = T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends Array<infer Item>
        ? Plain<Item>[]
        : { [Key in keyof T]: Plain<T[Key]> };

// The query's types name things that are not part of it: its variant, and a default of the SDK.
type Query = Omit<Dataquery, `_${string}`>;

type Defaults = Omit<schema.FieldConfig, "custom"> & { custom: FieldConfig };

export type TimeSeries = Plain<
    Omit<schema.Panel, "fieldConfig" | "options" | "targets"> & {
        fieldConfig: { defaults: Defaults; overrides: [] };
        options: Options;
        targets: Query[];
        type: "timeseries";
    }
>;
export type Row = Plain<schema.RowPanel>;
export type Around = Plain<Omit<schema.Dashboard, "panels">>;
