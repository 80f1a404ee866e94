//! Sizes and times as people write them, both ways.

use std::time::Duration;

/// A size: `1.5GiB`, `300MB`, `65536`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        "t" | "tib" => 1 << 40,
        _ => return Err(format!("`{unit}` is no unit of size: use KiB, MiB, GiB, MB or GB")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is no size: it looks like 1.5GiB or 300MB"))?;
    let bytes = number * factor as f64;
    if (1.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(format!("`{text}` is out of range")) }
}

/// A time: `500ms`, `30s`, `5m`, `6h`, `1d`, or a number of seconds.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, m, h or d")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is no time: it looks like 500ms, 30s or 6h"))?;
    let seconds = number * factor;
    // A century is for ever, and leaves room for sums.
    if seconds > 0.0 && seconds < 3.2e9 {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("`{text}` is out of range"))
    }
}

/// A part: `80%`. Gives it of one.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no percentage: it looks like 80%");
    let number: f64 = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim().parse().map_err(|_| wrong())?;
    if number > 0.0 && number <= 100.0 {
        Ok(number / 100.0)
    } else {
        Err(format!("`{text}` is out of range"))
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A size for people: `1.9 GiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{number} B")
    } else if value < 100.0 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A time for people: `20 s`, `10 minutes`, `3.5 hours`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let of = |value: f64, unit: &str| {
        let shown = format!("{value:.1}");
        let shown = shown.strip_suffix(".0").unwrap_or(&shown);
        format!("{shown} {unit}{}", if shown == "1" { "" } else { "s" })
    };
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => of(s / 60.0, "minute"),
        s if s < 172_800.0 => of(s / 3600.0, "hour"),
        s => of(s / 86400.0, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        assert_eq!(parse_bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes(" 300 MB "), Ok(300_000_000));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_share("80%"), Ok(0.8));
        for bad in ["", "x", "0", "-1MiB", "5 stone", "1e400", "."] {
            assert!(
                parse_bytes(bad).is_err() && parse_time(bad).is_err() && parse_share(bad).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_people_read_is_short() {
        let sizes = [7, 1536, 300 << 20, 2_040_109_466].map(bytes);
        assert_eq!(sizes, ["7 B", "1.5 KiB", "300 MiB", "1.9 GiB"]);
        let times =
            [0.25, 20.0, 600.0, 5400.0, 12600.0, 86400.0 * 3.0].map(|s| time(Duration::from_secs_f64(s)));
        assert_eq!(times, ["250 ms", "20 s", "10 minutes", "90 minutes", "3.5 hours", "3 days"]);
    }
}
