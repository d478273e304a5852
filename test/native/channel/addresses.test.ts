import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { parseDialAddress, parseListenAddress, printAddress } from '../../../native/channel/addresses.ts';

for (const [text, address] of [
  ['unix:///run/vmdk.sock', { kind: 'unix', path: '/run/vmdk.sock' }],
  ['vsock://2:1019', { kind: 'vsock', cid: 2, port: 1019 }],
  ['vsock://4294967294:1', { kind: 'vsock', cid: 4294967294, port: 1 }],
] as const) {
  test(`addresses: ${text} can be dialled, and is printed as it was typed`, (t) => {
    t.deepEqual(parseDialAddress(text), address);
    t.is(printAddress(address), text);
  });
}

test("addresses: without a port it is the archived product's", (t) => {
  t.deepEqual(parseDialAddress('vsock://2'), { kind: 'vsock', cid: 2, port: 1019 });
  t.deepEqual(parseListenAddress('vsock://any'), { kind: 'vsock', port: 1019 });
});

test('addresses: listening is on a path, or on any CID', (t) => {
  t.deepEqual(parseListenAddress('unix:///run/vmdk.sock'), { kind: 'unix', path: '/run/vmdk.sock' });
  for (const text of ['vsock://any:7', 'vsock://:7']) t.deepEqual(parseListenAddress(text), { kind: 'vsock', port: 7 });
  t.is(printAddress({ kind: 'vsock', port: 7 }), 'vsock://any:7');
});

for (const text of [
  '',
  '/run/vmdk.sock',
  'unix://relative',
  'unix:///',
  'unix:///folder/',
  'unix:///a\0b',
  `unix:///${'x'.repeat(107)}`,
  'vsock://',
  'vsock://x:1',
  'vsock://-1:1',
  'vsock://4294967295:1',
  'vsock://2:0',
  'vsock://2:4294967295',
  'vsock://2:99999999999',
  'vsock://2:1019/',
  'http://host:1',
  ' vsock://2:1019',
]) {
  test(`addresses: ${JSON.stringify(text.slice(0, 30))} is refused with what is allowed`, (t) => {
    for (const parse of [parseDialAddress, parseListenAddress]) {
      const fault = t.throws(() => parse(text), { instanceOf: Fault });
      t.is(fault.code, 'InvalidRequest');
      t.regex(fault.message, /unix:\/\/\/path.*vsock:\/\//);
    }
  });
}

test('addresses: the service listens on no single CID, and a guest dials no "any"', (t) => {
  t.throws(() => parseListenAddress('vsock://2:1019'), { instanceOf: Fault });
  t.throws(() => parseDialAddress('vsock://any:1019'), { instanceOf: Fault });
});

test('addresses: tls is refused as not available', (t) => {
  for (const parse of [parseDialAddress, parseListenAddress]) {
    const fault = t.throws(() => parse('tls://host:1'), { instanceOf: Fault });
    t.is(fault.code, 'NotSupported');
    t.regex(fault.message, /not available in this version/);
  }
});
