//! Compiles the permission policies to a table. An invalid policy stops the build.

#[path = "src/policy/compile.rs"]
mod compile;

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo passes the output directory in a variable"
)]
fn main() {
    let folder = "src/policy";
    println!("cargo::rerun-if-changed={folder}");
    let read = |name: &str| {
        let path = format!("{folder}/{name}");
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read infra/{path}: {error}"))
    };
    let written = read("ledgerdesk.cedarschema")
        .and_then(|schema| compile::compile(&schema, &read("ledgerdesk.cedar")?))
        .and_then(|table| {
            let target = std::env::var("OUT_DIR").map_err(|error| error.to_string())?;
            std::fs::write(format!("{target}/policies.rs"), table)
                .map_err(|error| error.to_string())
        });
    if let Err(reason) = written {
        println!("cargo::error=infra/{folder}/ledgerdesk.cedar: {reason}");
    }
}
