//! Numbers for people.

/// Bytes with a unit, three or four digits: `17 B`, `1.2 KiB`, `639.8 MiB`, `1,010 KiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // Not below 1023.5, which would be printed as 1,024.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value >= 999.95 {
        format!("{} {}", count(value.round() as u64), UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Bytes that were estimated: as many digits as a relative standard error lets stand, two for 10 %, and one beyond a
/// third. Without an error like [`bytes`].
pub fn estimate(n: u64, error: Option<f64>) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let Some(error) = error.filter(|_| n > 0) else { return bytes(n) };
    let digits = match error {
        e if e >= 0.3 => 1,
        e if e >= 0.03 => 2,
        e if e >= 0.003 => 3,
        _ => return bytes(n),
    };
    let mut unit = 0;
    let mut value = n as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let whole = if value >= 1.0 { value.log10().floor() as i32 + 1 } else { 0 };
    let step = 10f64.powi(whole - digits);
    let value = (value / step).round() * step;
    let decimals = usize::try_from(digits - whole).unwrap_or(0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// The relative standard error of an estimate: `±25 %`; nothing if it is not known.
pub fn error(error: Option<f64>) -> String {
    match error {
        None => String::new(),
        Some(e) if e >= 0.0995 => format!("±{:.0} %", e * 100.0),
        Some(e) => format!("±{:.1} %", e * 100.0),
    }
}

/// Bytes more or fewer: `+1.2 KiB`, `-17 B`, `0 B`.
pub fn signed_bytes(n: i64) -> String {
    match n {
        0 => "0 B".to_owned(),
        n if n < 0 => format!("-{}", bytes(n.unsigned_abs())),
        n => format!("+{}", bytes(n.unsigned_abs())),
    }
}

/// A count with its thousands apart: `16,838,223`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count more or fewer: `+1,000`.
pub fn signed_count(n: i64) -> String {
    match n {
        0 => "0".to_owned(),
        n if n < 0 => format!("-{}", count(n.unsigned_abs())),
        n => format!("+{}", count(n.unsigned_abs())),
    }
}

/// A part of a whole: `89 %`, `0.4 %`.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let value = part as f64 * 100.0 / whole as f64;
    if value == 0.0 || value >= 9.95 { format!("{value:.0} %") } else { format!("{value:.1} %") }
}

/// A moment or a length of time in microseconds: `0.05 s`, `120 s`.
pub fn seconds(us: u64) -> String {
    let s = us as f64 / 1e6;
    if s < 100.0 { format!("{s:.2} s") } else { format!("{s:.0} s") }
}

/// A distance as DevTools shows it: a minus sign where only V8's own roots, or none, lead.
pub fn distance(packed: i32) -> String {
    if (0..heapsight_analysis::distance::SYSTEM).contains(&packed) {
        packed.to_string()
    } else {
        "−".to_owned()
    }
}

/// Plural of a regular noun: `1 class`, `2 classes`.
pub fn number_of(n: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(n), if n == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let shown: Vec<String> = [
            0,
            1023,
            1024,
            1536,
            1_034_650,
            1_048_000,
            1_048_524,
            1_048_576,
            639_829_709,
            5_000_000_000,
            u64::MAX,
        ]
        .into_iter()
        .map(bytes)
        .collect();
        assert_eq!(
            shown,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.5 KiB",
                "1,010 KiB",
                "1,023 KiB",
                "1.0 MiB",
                "1.0 MiB",
                "610.2 MiB",
                "4.7 GiB",
                "16,384 PiB"
            ]
        );
        assert_eq!(
            [signed_bytes(-2048), signed_bytes(0), signed_bytes(2048)],
            ["-2.0 KiB", "0 B", "+2.0 KiB"]
        );
    }

    #[test]
    fn estimates_have_no_more_digits_than_they_carry() {
        let shown = |n, error| estimate(n, Some(error));
        assert_eq!(shown(1_234_567, 1.0), "1 MiB");
        assert_eq!(shown(1_234_567, 0.1), "1.2 MiB");
        assert_eq!(shown(1_234_567, 0.01), "1.18 MiB");
        assert_eq!(shown(356_000, 0.5), "300 KiB");
        assert_eq!(shown(356_000, 0.05), "350 KiB");
        assert_eq!(shown(1023, 0.1), "1000 B");
        assert_eq!(estimate(1_234_567, None), bytes(1_234_567));
        assert_eq!([error(None), error(Some(1.0)), error(Some(0.043))], ["", "±100 %", "±4.3 %"]);
    }

    #[test]
    fn counts_have_thousands() {
        assert_eq!(
            [count(0), count(999), count(1000), count(16_838_223)],
            ["0", "999", "1,000", "16,838,223"]
        );
        assert_eq!([signed_count(-1500), signed_count(2)], ["-1,500", "+2"]);
        assert_eq!(
            [percent(1, 3), percent(0, 3), percent(1, 1000), percent(3, 0)],
            ["33 %", "0 %", "0.1 %", "0 %"]
        );
    }
}
