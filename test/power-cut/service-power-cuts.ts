/** What a scenario of the service does, recorded, cut off from power at each operation, and started from every tree. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serialize } from 'node:v8';
import type { ExecutionContext } from 'ava';
import { mebibyte, place } from '../esx-service/support/place.ts';
import { Random } from '../soak/random.ts';
import type { Tree, TreeLimits } from './crash-states.ts';
import { assertFollowed, type CutTree, describeTree, type Moments, momentsOf } from './moments.ts';
import { recordOperations } from './recording.ts';
import { type Scenario, type ScenarioName, scenarios } from './service-scenarios.ts';
import { type CatalogFacts, factsAt, type TrialPlan, tryAttached, tryTree, type Verdict } from './service-trial.ts';

const limits: TreeLimits = { contentsPerFile: 12, treesPerMoment: 20 };
/** One tells what is wrong; hundreds hide it. */
const shownTrees = 3;

interface Bench {
  /** @param tree what to start in, instead of playing the scenario */
  readonly record: (tree?: Tree) => Promise<Moments>;
  readonly factsAt: (trees: readonly Tree[]) => Promise<readonly CatalogFacts[]>;
  /** The folder for trees. */
  readonly parent: string;
}

/** Every cut of what the scenario does. */
export async function cutEverywhere(t: ExecutionContext, name: ScenarioName): Promise<void> {
  const scenario: Scenario = scenarios[name];
  const bench = await openBench(t, name, scenario);
  const moments = await bench.record();
  const states = await bench.factsAt(moments.atMarks);
  const found = await tryAll(moments, { scenario, states, repeated: states.at(-1), parent: bench.parent });
  t.log(tell(moments, found));
  t.true(states.length > 1 && moments.trees.length > moments.operationCount);
  assertSound(t, found);
}

/** Some cuts of what the scenario does, and after each, every cut of the start that mends it. */
export async function cutTwice(t: ExecutionContext, name: ScenarioName, firstCuts: number): Promise<void> {
  const scenario: Scenario = scenarios[name];
  const bench = await openBench(t, name, scenario);
  const first = await bench.record();
  const repeated = (await bench.factsAt(first.atMarks)).at(-1);
  const random = new Random(`second cut of ${name}`);
  const candidates = first.trees.filter((tree) => tree.isJournalled && !tree.isExact);
  for (let count = 0; count < firstCuts; count += 1) {
    const tree = random.pickAny(candidates);
    if (!tree) throw new Error('there is no tree to start from');
    const second = await bench.record(tree);
    const states = await bench.factsAt(second.atMarks);
    const found = await tryAll(second, { scenario, states, repeated, parent: bench.parent });
    t.log(`after operation ${tree.operations}: ${tell(second, found)}`);
    assertSound(t, found);
  }
}

async function openBench(t: ExecutionContext, name: ScenarioName, scenario: Scenario): Promise<Bench> {
  const at = await place(t);
  const disk = await at.fileSystem('tmpfs', 256 * mebibyte);
  const parent = join(disk, 'trees');
  return {
    parent,
    async record(tree) {
      const recordedFolder = join(disk, 'recorded');
      const treeFile = at.path('tree');
      await rm(recordedFolder, { recursive: true, force: true });
      await mkdir(recordedFolder);
      if (tree) await writeFile(treeFile, serialize(tree));
      const operations = await recordOperations({
        workFolder: at.folder,
        recordedFolder,
        script: fileURLToPath(import.meta.resolve('./service-script.ts')),
        args: [recordedFolder, name, ...(tree ? [treeFile] : [])],
        sharesBlocks: scenario.sharesBlocks ?? false,
      });
      const moments = momentsOf(operations, limits, name);
      assertFollowed(t, moments, recordedFolder);
      return moments;
    },
    async factsAt(trees) {
      const facts: CatalogFacts[] = [];
      for (const tree of trees) facts.push(await factsAt(tree, parent, scenario));
      return facts;
    },
  };
}

type Found = readonly (readonly [CutTree, Verdict])[];

async function tryAll({ trees }: Moments, plan: TrialPlan): Promise<Found> {
  const { attachable } = plan.scenario;
  const found: (readonly [CutTree, Verdict])[] = [];
  for (const tree of trees) {
    found.push([tree, await tryTree(tree, plan)]);
    if (attachable !== undefined) found.push([tree, await tryAttached(tree, plan, attachable)]);
  }
  return found;
}

function assertSound(t: ExecutionContext, found: Found): void {
  const broken = found.filter(([, verdict]) => verdict.broken.length > 0);
  for (const [tree, verdict] of broken.slice(0, shownTrees)) t.log(explain(tree, verdict));
  t.is(broken.length, 0);
}

function tell({ operationCount, trees }: Moments, found: Found): string {
  const journalled = trees.filter((tree) => tree.isJournalled).length;
  const strays = found.filter(([, verdict]) => verdict.strays.length > 0).length;
  const counts = `${operationCount} operations, ${trees.length} trees (${journalled} of journalled folders)`;
  return `${counts}, ${found.length} trials, ${strays} with strays`;
}

function explain(tree: CutTree, verdict: Verdict): string {
  const kind = tree.isJournalled ? 'journalled' : 'reordered';
  const when = `after operation ${tree.operations}, mark ${tree.stage}, folders ${kind}`;
  return [when, ...verdict.broken.map((sentence) => `- ${sentence}`), describeTree(tree)].join('\n');
}
