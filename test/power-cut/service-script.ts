/**
 * Plays a scenario in a folder: `service-script.ts FOLDER SCENARIO`; or only starts a service in a tree that is made there
 * first: `service-script.ts FOLDER SCENARIO TREE_FILE`. To be run under the recorder.
 */
import { readFileSync, rmdirSync } from 'node:fs';
import process from 'node:process';
import { deserialize } from 'node:v8';
import { FakeHypervisor } from '../esx-service/fakes/fake-hypervisor.ts';
import { type Commands, startCommands, vms } from '../esx-service/support/commands.ts';
import { materialise, type Tree } from './crash-states.ts';
import { settledMark } from './moments.ts';
import { Scope } from './scope.ts';
import { datastoreIn, type Scenario, type ScenarioName, scenarios, type World } from './service-scenarios.ts';

const [folder = '', name = '', treeFile] = process.argv.slice(2);
const scenario: Scenario = scenarios[name as ScenarioName];
const datastore = datastoreIn(folder, scenario);
const hypervisor = new FakeHypervisor(vms);
const mark = (text: string): void => rmdirSync(`/power-cut-mark/${text}`);
await using scope = new Scope();
let current: Commands | undefined;
const world: World = {
  folder: datastore,
  async start(wrap) {
    await current?.end();
    const options = { datastores: { local: datastore }, hypervisor };
    current = await startCommands(scope.asTest, wrap ? { ...options, wrap } : options);
    return current;
  },
  mark: () => mark('answered'),
};

if (treeFile === undefined) {
  await scenario.perform(world);
} else {
  materialise(deserialize(readFileSync(treeFile)) as Tree, folder);
  mark(settledMark);
  world.mark();
  await world.start();
  world.mark();
}
