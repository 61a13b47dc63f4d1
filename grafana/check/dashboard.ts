// What a dashboard of ours may hold: Grafana's own published types, made stricter where we ask for
// more. scripts/check-dashboards puts each JSON file behind `const dashboard: Dashboard = `, so that
// the compiler names a misspelt field by its line. Only types; nothing here ever runs.

import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import type * as dashboard from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type * as barGauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** A type as JSON writes it: a member of an enum is its plain value. */
type Json<T> = unknown extends T
  ? unknown
  : T extends string
    ? `${T}`
    : T extends (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T;

/** The same with any part left out: what Grafana fills up with the defaults of a plugin. */
type Part<T> = T extends (infer Item)[] ? Part<Item>[] : T extends object ? { [Key in keyof T]?: Part<T[Key]> } : T;

/** `Base` without some of its keys, and with others of our own. */
type With<Base, Own> = Omit<Json<Base>, keyof Own> & Own;

/** The plugins in use; each panel is held against the options and field options of its own. */
interface Plugins {
  bargauge: { options: barGauge.Options; custom: never };
  heatmap: { options: heatmap.Options; custom: heatmap.FieldConfig };
  stat: { options: stat.Options; custom: never };
  'state-timeline': { options: stateTimeline.Options; custom: stateTimeline.FieldConfig };
  table: { options: table.Options; custom: table.FieldConfig };
  timeseries: { options: timeSeries.Options; custom: timeSeries.FieldConfig };
}

/** The units in use. Grafana shows any text that it does not know as it is, so a new one is added here. */
type Unit = 'bytes' | 'dateTimeAsIso' | 'none' | 'percentunit' | 's' | 'short' | `suffix:${string}`;

interface DataSource {
  type: 'prometheus';
  uid: '${datasource}';
}

type Query = With<
  Omit<Dataquery, '_implementsDataqueryVariant' | 'datasource'>,
  { refId: string; expr: string; editorMode: 'code' }
>;

/** The first step has no lower bound. Without its `null` Grafana compares no further, and shows its colour always. */
interface Thresholds {
  mode: 'absolute';
  steps: [{ color: string; value: null }, ...{ color: string; value: number }[]];
}

type Defaults<Plugin extends keyof Plugins> = With<
  dashboard.FieldConfig,
  {
    unit: Unit;
    custom?: Part<Json<Plugins[Plugin]['custom']>>;
    links?: { title: string; url: string }[];
    thresholds?: Thresholds;
  }
>;

/** `{ id: 'unit', value: … }`, `{ id: 'custom.lineWidth', value: … }` and so on. */
type Property<Plugin extends keyof Plugins> =
  | { [Key in keyof Defaults<Plugin>]-?: { id: Key; value: Defaults<Plugin>[Key] } }[keyof Defaults<Plugin>]
  | {
      [Key in keyof Plugins[Plugin]['custom'] & string]-?: {
        id: `custom.${Key}`;
        value: Part<Json<Plugins[Plugin]['custom'][Key]>>;
      };
    }[keyof Plugins[Plugin]['custom'] & string];

interface Override<Plugin extends keyof Plugins> {
  matcher: { id: 'byName' | 'byRegexp' | 'byFrameRefID'; options: string };
  properties: Property<Plugin>[];
}

/** The two transformations in use, written down from @grafana/data, which is too large to install for them. */
type Transformation =
  | { id: 'joinByField'; options: { byField: string; mode: 'outer' | 'inner' } }
  | {
      id: 'organize';
      options: {
        excludeByName: Record<string, boolean>;
        indexByName: Record<string, number>;
        renameByName: Record<string, string>;
      };
    };

interface Place {
  h: number;
  w: number;
  x: number;
  y: number;
}

type Panel<Plugin extends keyof Plugins> = With<
  Omit<dashboard.Panel, 'autoMigrateFrom' | 'libraryPanel'>,
  {
    id: number;
    title: string;
    description: string;
    type: Plugin;
    gridPos: Place;
    datasource: DataSource;
    targets: [Query, ...Query[]];
    fieldConfig: { defaults: Defaults<Plugin>; overrides?: Override<Plugin>[] };
    options: Part<Json<Plugins[Plugin]['options']>>;
    links?: { title: string; type: 'link'; url: `/d/freshet-${string}` }[];
    transformations?: Transformation[];
  }
>;

type Row = With<dashboard.RowPanel, { id: number; title: string; type: 'row'; gridPos: Place; collapsed: false; panels: [] }>;

type Annotation = With<
  dashboard.AnnotationQuery,
  {
    name: string;
    enable: boolean;
    iconColor: string;
    datasource: DataSource;
    target: Query;
    titleFormat: string;
    textFormat: string;
    useValueForTime?: boolean;
  }
>;

type Variable =
  | With<dashboard.VariableModel, { name: 'datasource'; type: 'datasource'; query: 'prometheus' }>
  | With<
      dashboard.VariableModel,
      {
        name: 'subreddit';
        type: 'query';
        datasource: DataSource;
        query: { qryType: 1; query: `label_values(${string}, subreddit)`; refId: string };
        multi: true;
        includeAll: true;
      }
    >;

/** A dashboard of ours. */
export type Dashboard = With<
  dashboard.Dashboard,
  {
    id: null;
    uid: `freshet-${string}`;
    title: string;
    description: string;
    tags: ['freshet'];
    editable: false;
    schemaVersion: 42;
    annotations: { list: Annotation[] };
    templating: { list: Variable[] };
    panels: ({ [Plugin in keyof Plugins]: Panel<Plugin> }[keyof Plugins] | Row)[];
  }
>;
