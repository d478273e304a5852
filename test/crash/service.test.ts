import test from 'ava';
import { testEveryStepOf } from './every-step.ts';

await testEveryStepOf('service', test);
