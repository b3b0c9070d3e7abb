//! Markup: text into HTML, where no text can become markup.

use std::fmt::{self, Display, Write};

/// Adds formatted markup to a text, which cannot fail. What is not markup goes through [`esc`].
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($out, $($arg)*);
    }};
}
pub(crate) use put;

/// A text for HTML, in elements and in quoted attributes.
pub(crate) fn esc<T: Display>(text: T) -> Escaped<T> {
    Escaped(text)
}

/// See [`esc`].
pub(crate) struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Sieve(f), "{}", self.0)
    }
}

struct Sieve<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Sieve<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '\n' | '\t' => self.0.write_char(' ')?,
                // No control character is allowed in HTML; nor may one turn the line's direction.
                letter if letter.is_control() || is_bidirectional(letter) => {
                    self.0.write_char('\u{FFFD}')?;
                }
                letter => self.0.write_char(letter)?,
            }
        }
        Ok(())
    }
}

fn is_bidirectional(letter: char) -> bool {
    matches!(letter, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A text of at most so many characters.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let text = "<script a='b' c=\"d\">&amp;\u{1}\u{202E}\n";
        let wanted = "&lt;script a=&#39;b&#39; c=&quot;d&quot;&gt;&amp;amp;\u{FFFD}\u{FFFD} ";
        assert_eq!(esc(text).to_string(), wanted);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
