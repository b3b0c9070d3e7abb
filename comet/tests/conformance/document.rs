//! Document: `docs/goim.md` names the test behind each line; none of them may go missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_document_names_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("../docs/goim.md")).unwrap();
    let mut named = BTreeSet::new();
    for (module, test) in text.split('`').filter_map(|quoted| quoted.split_once("::")) {
        let within = |suite: &str| here.join(format!("tests/{suite}/{module}.rs"));
        let source = fs::read_to_string(within("conformance"));
        let source = source.or_else(|_| fs::read_to_string(within("comet"))).expect(module);
        assert!(source.contains(&format!("async fn {test}(")), "{module}::{test} is not there");
        named.insert(test);
    }
    assert!(named.len() > 80, "only {} tests are named", named.len());
}
