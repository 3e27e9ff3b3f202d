#!/usr/bin/env bash
# Adding cedar-policy 4.14.1 to a Rust program changes the order of the members in every JSON object that the program writes.
#
# Expected: a dependency that the program does not even call has no effect on its output. serde_json keeps the members of an object in
#   alphabetical order, so two texts of the same object give the same bytes, and a hash over these bytes can be compared.
# Happens: cedar-policy-core turns on the feature `preserve_order` of serde_json. Cargo builds serde_json once for the whole program, with
#   the features of all its users. Every object of the program then keeps the order of the text that was read.
# Where a service desk meets it: an idempotency key is stored with a hash of the request body, an approval is bound to a hash of its
#   parameters, and a foreign record has a digest. After the dependency was added, a client that repeats a request with its members in
#   another order is told that the key was used for another request. Nothing fails to compile, and the change is in no changelog.
# What to do: use cedar-policy only in a build script (its features are separate there), or sort the members before every hash.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

program() {
    mkdir -p "$work/$1/src"
    cat > "$work/$1/Cargo.toml" <<T
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
serde_json = "=1.0.154"
$2

[build-dependencies]
$3
T
    cat > "$work/$1/src/main.rs" <<'R'
fn main() {
    let read: serde_json::Value = serde_json::from_str(r#"{"title":"t","approver":"a"}"#).unwrap();
    print!("{read}");
}
R
    printf 'fn main() {}\n' > "$work/$1/build.rs"
    CARGO_TARGET_DIR="$work/target" cargo run --quiet --manifest-path "$work/$1/Cargo.toml"
}

cedar='cedar-policy = { version = "=4.14.1", default-features = false }'
without=$(program without "" "")
with=$(program with "$cedar" "")
build_only=$(program build_only "" "$cedar")
echo "serde_json 1.0.154 alone:                          $without"
echo "with an unused dependency on cedar-policy 4.14.1:  $with"
echo "with cedar-policy only as a build dependency:      $build_only"
[ "$without" = '{"approver":"a","title":"t"}' ]
[ "$with" = '{"title":"t","approver":"a"}' ]
[ "$build_only" = "$without" ]
