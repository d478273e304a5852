import test from 'ava';
import { testEveryStepOf } from './every-step.ts';

await testEveryStepOf('plugin', test);
