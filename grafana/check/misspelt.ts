// What the check has to refuse, one of each kind: were one of these let through, the compiler would say
// that its `@ts-expect-error` is unused.

import type { Dashboard } from './dashboard';

type Panels = Dashboard['panels'];
type Annotations = Dashboard['annotations']['list'];
type Variables = Dashboard['templating']['list'];

const datasource = { type: 'prometheus', uid: '${datasource}' } as const;
const place = { x: 0, y: 0, w: 8, h: 7 };
const named = { id: 1, title: 'A', description: 'B', gridPos: place, datasource } as const;
const query = { refId: 'A', expr: 'up', editorMode: 'code' } as const;

// This one is right; all that follow are this one with a fault.
export const right: Panels = [
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    fieldConfig: {
      defaults: { unit: 's', custom: { lineWidth: 1, stacking: { mode: 'normal' } } },
      overrides: [{ matcher: { id: 'byName', options: 'a' }, properties: [{ id: 'custom.lineWidth', value: 2 }] }],
    },
    options: { legend: { displayMode: 'list', placement: 'bottom' } },
  },
];

export const options: Panels = [
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    fieldConfig: { defaults: { unit: 's' } },
    // @ts-expect-error: placment
    options: { legend: { displayMode: 'list', placment: 'bottom' } },
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    fieldConfig: { defaults: { unit: 's' } },
    // @ts-expect-error: no such mode
    options: { legend: { displayMode: 'lists' } },
  },
  {
    ...named,
    type: 'stat',
    targets: [query],
    fieldConfig: { defaults: { unit: 's' } },
    // @ts-expect-error: an option of another plugin
    options: { legend: { displayMode: 'list' } },
  },
];

export const fields: Panels = [
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    // @ts-expect-error: linewidth
    fieldConfig: { defaults: { unit: 's', custom: { linewidth: 1 } } },
    options: {},
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    // @ts-expect-error: treshold
    fieldConfig: { defaults: { unit: 's', treshold: { mode: 'absolute', steps: [] } } },
    options: {},
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    // @ts-expect-error: a first threshold without null
    fieldConfig: { defaults: { unit: 's', thresholds: { mode: 'absolute', steps: [{ color: 'green' }] } } },
    options: {},
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    // @ts-expect-error: no such unit
    fieldConfig: { defaults: { unit: 'secs' } },
    options: {},
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    // @ts-expect-error: no unit
    fieldConfig: { defaults: {} },
    options: {},
  },
  {
    ...named,
    type: 'stat',
    targets: [query],
    // @ts-expect-error: a stat has no fields of its own
    fieldConfig: { defaults: { unit: 's', custom: { lineWidth: 1 } } },
    options: {},
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    fieldConfig: {
      defaults: { unit: 's' },
      // @ts-expect-error: custom.linewidth
      overrides: [{ matcher: { id: 'byName', options: 'a' }, properties: [{ id: 'custom.linewidth', value: 2 }] }],
    },
    options: {},
  },
  {
    ...named,
    type: 'timeseries',
    targets: [query],
    fieldConfig: {
      defaults: { unit: 's' },
      // @ts-expect-error: no number
      overrides: [{ matcher: { id: 'byName', options: 'a' }, properties: [{ id: 'custom.lineWidth', value: '2' }] }],
    },
    options: {},
  },
];

const rest = { fieldConfig: { defaults: { unit: 's' } }, options: {} } as const;

export const panels: Panels = [
  // @ts-expect-error: interval2
  { ...named, ...rest, type: 'stat', targets: [query], interval2: '1m' },
  // @ts-expect-error: no such plugin
  { ...named, ...rest, type: 'graph', targets: [query] },
  // @ts-expect-error: no query
  { ...named, ...rest, type: 'stat', targets: [] },
  // @ts-expect-error: legend
  { ...named, ...rest, type: 'stat', targets: [{ ...query, legend: 'a' }] },
  // @ts-expect-error: no such format
  { ...named, ...rest, type: 'stat', targets: [{ ...query, format: 'timeseries' }] },
  // @ts-expect-error: a data source that is not the chosen one
  { ...named, ...rest, type: 'stat', targets: [query], datasource: { type: 'prometheus', uid: 'another' } },
  // @ts-expect-error: width
  { ...named, ...rest, type: 'stat', targets: [query], gridPos: { ...place, width: 8 } },
  // @ts-expect-error: no such transformation
  { ...named, ...rest, type: 'stat', targets: [query], transformations: [{ id: 'organise', options: {} }] },
  // @ts-expect-error: to a dashboard that is none of ours
  { ...named, ...rest, type: 'stat', targets: [query], links: [{ title: 'A', type: 'link', url: '/d/other' }] },
];

export const annotations: Annotations = [
  // @ts-expect-error: icon
  { name: 'A', enable: true, iconColor: 'red', icon: 'x', datasource, target: query, titleFormat: '', textFormat: '' },
];

export const variables: Variables = [
  // @ts-expect-error: multiple
  { name: 'datasource', type: 'datasource', query: 'prometheus', multiple: true },
];

declare const dashboard: Dashboard;
// @ts-expect-error: titel
export const misspelt: Dashboard = { ...dashboard, titel: 'A' };
// @ts-expect-error: an id of its own
export const numbered: Dashboard = { ...dashboard, id: 1 };
