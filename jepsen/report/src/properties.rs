//! Properties: what each says, as the words of the harness tell it.

/// Where the words are fixed; its table of properties has a name and a sentence in each row.
const WORDS: &str = include_str!("../../SEMANTICS.md");

/// What a property says; none for one that the words do not know.
pub(crate) fn sentence(name: &str) -> Option<&'static str> {
    let table = WORDS.split_once("## Properties")?.1;
    table.lines().find_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        (cells.next()? == name).then(|| cells.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use judge::checker::ALL;

    use super::*;

    #[test]
    fn every_property_has_a_sentence() {
        for property in ALL {
            assert!(
                sentence(property.name).is_some_and(|text| text.len() > 10),
                "{}",
                property.name
            );
        }
        assert_eq!(sentence("no such property"), None);
    }
}
