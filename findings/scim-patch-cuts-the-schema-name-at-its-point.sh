#!/usr/bin/env bash
# scim-patch (npm) stores the department of a person under "urn:...:enterprise:2.0", because it cuts the name of the schema at "2.0:User".
#
# Expected: the extension of a user has the name urn:ietf:params:scim:schemas:extension:enterprise:2.0:User (RFC 7643, 4.3). RFC 7644
#   (3.5.2.1 and 3.5.2.3) allows an operation without `path`: `value` has attributes of the user, and one of them may be this name with
#   an object.
# Happens: the point in "2.0" is taken as the separator of a sub-attribute. The result has a new member "urn:...:enterprise:2.0" with
#   "User" in it, and the real extension keeps its old values. No error. A name with a further attribute (...:2.0:User:department)
#   is right. A name in another case, such as UserName, also gives a new member, although RFC 7643 (2.1) states that names of attributes
#   are not case-sensitive.
# Where a service desk meets it: the directory reports that a person changed the department or the manager. Tickets and approvals still go
#   to the old ones, and the provisioning log of the directory shows a success.
# What to do: before the call, replace such an operation by one operation per attribute with the path <schema>:<attribute>.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm install --silent --no-audit --no-fund --prefix "$work" scim-patch@0.8.3

cat > "$work/patch.cjs" <<'JS'
const { scimPatch } = require("scim-patch");
const { version } = require("./node_modules/scim-patch/package.json");

const schema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const short = (value) => JSON.stringify(value).replaceAll("urn:ietf:params:scim:schemas:extension:", "urn:..:");
console.log(`scim-patch ${version}`);
for (const operation of [
  { op: "replace", value: { [schema]: { department: "IT" } } },
  { op: "add", value: { [schema]: { department: "IT" } } },
  { op: "replace", path: `${schema}:department`, value: "IT" },
  { op: "replace", value: { [`${schema}:department`]: "IT" } },
  { op: "replace", path: "UserName", value: "wangwu" },
]) {
  const user = { schemas: ["urn:ietf:params:scim:schemas:core:2.0:User", schema], meta: {}, userName: "lisi", [schema]: { department: "HR" } };
  const { schemas, meta, ...result } = scimPatch(user, [operation]);
  console.log(`${short(operation)}\n  ${short(result)}`);
}
JS
node "$work/patch.cjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
scim-patch 0.8.3
{"op":"replace","value":{"urn:..:enterprise:2.0:User":{"department":"IT"}}}
  {"userName":"lisi","urn:..:enterprise:2.0:User":{"department":"HR"},"urn:..:enterprise:2.0":{"User":{"department":"IT"}}}
{"op":"add","value":{"urn:..:enterprise:2.0:User":{"department":"IT"}}}
  {"userName":"lisi","urn:..:enterprise:2.0:User":{"department":"HR"},"urn:..:enterprise:2.0":{"User":{"department":"IT"}}}
{"op":"replace","path":"urn:..:enterprise:2.0:User:department","value":"IT"}
  {"userName":"lisi","urn:..:enterprise:2.0:User":{"department":"IT"}}
{"op":"replace","value":{"urn:..:enterprise:2.0:User:department":"IT"}}
  {"userName":"lisi","urn:..:enterprise:2.0:User":{"department":"IT"}}
{"op":"replace","path":"UserName","value":"wangwu"}
  {"userName":"lisi","urn:..:enterprise:2.0:User":{"department":"HR"},"UserName":"wangwu"}
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
