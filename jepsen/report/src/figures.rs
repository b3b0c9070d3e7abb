//! Figures: numbers and times as people read them.

/// A number as people read it, like `12,345`.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment of the run, like `12.345 s`.
pub(crate) fn moment(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)
}

/// A length of time with three digits at most, like `340 ms`, `4.2 s` or `3 min 5 s`.
pub(crate) fn length(nanos: u64) -> String {
    let micros = nanos / 1_000;
    match micros {
        0 => format!("{nanos} ns"),
        1..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..100_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => {
            let seconds = micros / 1_000_000;
            match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            }
        }
    }
}

/// `1 fault`, `2 faults`.
pub(crate) fn some(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The value below which so many of a hundred lie; of nothing, zero.
pub(crate) fn percentile(sorted: &[u64], hundredths: usize) -> u64 {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!(length(900), "900 ns");
        assert_eq!(length(4_200_000), "4.2 ms");
        assert_eq!(length(340_000_000), "340 ms");
        assert_eq!(length(4_249_000_000), "4.2 s");
        assert_eq!(length(185_000_000_000), "3 min 5 s");
        assert_eq!(length(7_260_000_000_000), "2 h 1 min");
        assert_eq!(moment(12_345_678_901), "12.345 s");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert_eq!(percentile(&[], 99), 0);
        assert_eq!(percentile(&[7], 50), 7);
        assert_eq!(percentile(&[1, 2, 3, 4], 50), 2);
        assert_eq!(percentile(&[1, 2, 3, 4], 99), 4);
    }
}
