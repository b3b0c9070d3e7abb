//! Opening: what the first bytes of a connection say it speaks. Pure.

/// What somebody speaks who connected to a port for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A handshake record of SSL 3.0 or TLS; the rest is for rustls.
    Tls,
    /// HTTP without TLS, of any version.
    Http,
    /// The hello of SSL 2.0 (RFC 5246, appendix E.2).
    SslV2,
    /// Anything else.
    NotTls,
}

/// How requests of HTTP begin; the last is the preface of HTTP/2 (RFC 9113, 3.4).
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"OPTIONS ",
    b"DELETE ",
    b"CONNECT ",
    b"PATCH ",
    b"TRACE ",
    b"PRI ",
];

impl Opening {
    /// What these first bytes begin, or `None` while it can still become one thing or the other: never for more
    /// than seven bytes.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [] | [22] => None,
            [22, 3, ..] => Some(Self::Tls),
            [22, ..] => Some(Self::NotTls),
            // The length's highest bit says that no padding follows.
            [0x80..=0xff, _, 1, ..] => Some(Self::SslV2),
            [0x80..=0xff, _, _, ..] => Some(Self::NotTls),
            [0x80..=0xff, ..] => None,
            _ if METHODS.iter().any(|method| bytes.starts_with(method)) => Some(Self::Http),
            _ if METHODS.iter().any(|method| method.starts_with(bytes)) => None,
            _ => Some(Self::NotTls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it is taken for, and after how many bytes.
    fn opening(bytes: &[u8]) -> Option<(Opening, usize)> {
        (0..=bytes.len()).find_map(|len| Some((Opening::of(&bytes[..len])?, len)))
    }

    #[test]
    fn the_first_bytes_say_what_is_spoken() {
        assert_eq!(opening(&[22, 3, 1, 0, 5]), Some((Opening::Tls, 2)));
        assert_eq!(opening(&[22, 4]), Some((Opening::NotTls, 2)));
        assert_eq!(opening(b"GET / HTTP/1.1"), Some((Opening::Http, 4)));
        assert_eq!(opening(b"OPTIONS * HTTP/1.1"), Some((Opening::Http, 8)));
        assert_eq!(opening(b"PRI * HTTP/2.0\r\n"), Some((Opening::Http, 4)));
        assert_eq!(opening(b"PUSH"), Some((Opening::NotTls, 3)));
        assert_eq!(opening(b"GETTING"), Some((Opening::NotTls, 4)));
        assert_eq!(opening(&[0x80, 46, 1, 0, 2]), Some((Opening::SslV2, 3)));
        assert_eq!(opening(&[0xff, 0xff, 0xff]), Some((Opening::NotTls, 3)));
        assert_eq!(opening(&[0, 0, 0, 16]), Some((Opening::NotTls, 1)), "a frame of goim");
        assert_eq!(opening(&[21, 3, 1]), Some((Opening::NotTls, 1)), "an alert opens nothing");
        assert_eq!(opening(b""), None);
    }

    #[test]
    fn seven_bytes_are_always_enough_to_wait_for_one_more() {
        for method in METHODS {
            assert!(method.len() <= 8, "so few bytes are read before it is known");
        }
    }
}
