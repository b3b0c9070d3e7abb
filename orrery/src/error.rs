//! Errors as a person reads them: one line, cause after cause, nothing twice.

/// The error and its causes in one line. A cause that its parent's text already tells is left out.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::one_line;

    #[test]
    fn causes_follow_in_one_line_and_none_is_told_twice() {
        let error =
            anyhow!("port is taken").context("cannot listen: port is taken").context("comet");
        assert_eq!(one_line(&error), "comet: cannot listen: port is taken");
        assert_eq!(one_line(&anyhow!("first\nsecond")), "first second");
    }
}
