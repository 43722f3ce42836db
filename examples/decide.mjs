// Asks the permit index from Node, through koffi (npm install koffi).
//
//     node decide.mjs FOLDER RECIPIENT PURPOSE CATEGORY CONSUMER...
//
// Looks for liblov where the system keeps its libraries, or where $LOV_LIBRARY says.
// Ends with 0 when all are permitted, with 1 when one is not.
import koffi from 'koffi';

const lib = koffi.load(process.env.LOV_LIBRARY ?? 'liblov.so.1');

koffi.struct('lov_decision', {
  permit: 'int32_t', reason: 'int32_t', basis: 'int32_t', law: 'int32_t', activity: 'int32_t',
  policy_version: 'int32_t', consent: 'int64_t', at: 'int64_t', shard: 'uint32_t',
  no_automated_decision: 'uint32_t', reserved: koffi.array('uint32_t', 4),
});
koffi.opaque('lov');
const open = lib.func('int lov_open(const char *path, _Out_ lov **out, _Out_ char *error, size_t size)');
const close = lib.func('void lov_close(lov *lov)');
const decide = lib.func('int lov_decide(lov *lov, const char *recipient, const char *purpose, ' +
  'const char *category, const char *consumer, int64_t at, _Out_ lov_decision *out)');
const explain = lib.func('size_t lov_explain(lov *lov, const lov_decision *d, _Out_ char *out, size_t size)');

const text = (bytes) => bytes.toString('utf8', 0, bytes.indexOf(0));

const [folder, recipient, purpose, category, ...consumers] = process.argv.slice(2);
if (consumers.length === 0) {
  console.error('usage: decide.mjs FOLDER RECIPIENT PURPOSE CATEGORY CONSUMER...');
  process.exit(2);
}
const handle = [null];
const error = Buffer.alloc(256);
if (open(folder, handle, error, error.length) !== 0) {
  console.error(text(error));
  process.exit(2);
}
let permits = 0;
for (const consumer of consumers) {
  const decision = {};
  permits += decide(handle[0], recipient, purpose, category, consumer, 0, decision);
  const out = Buffer.alloc(4096);
  explain(handle[0], decision, out, out.length);
  console.log(consumer, text(out));
}
close(handle[0]);
process.exit(permits === consumers.length ? 0 : 1);
