//! How wide columns are: which are left out where there is no room, and which get percentages and bars where there is.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::row::{Column, Tone};

/// Columns between two columns.
pub(crate) const GAP: u16 = 2;

/// Columns that names have at least before others are left out.
const NAME: u16 = 36;

/// Columns of a percentage.
pub(crate) const PERCENT: u16 = 7;

/// Columns of a bar.
pub(crate) const BAR: u16 = 12;

/// Columns that names have at least where there are percentages, and where there are bars.
const ROOMY: (u16, u16) = (44, 60);

/// A column that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Which column.
    pub(crate) column: usize,
    /// Its columns of the screen, all in all.
    pub(crate) width: u16,
    /// Whether there is a percentage.
    pub(crate) percent: bool,
    /// Whether there is a bar.
    pub(crate) bar: bool,
}

/// The columns that are shown on a screen of a width, the first one (names) with what the others leave.
pub(crate) fn slots(columns: &[Column], width: u16) -> Vec<Slot> {
    let mut shown: Vec<usize> = (1..columns.len()).filter(|&at| !columns[at].title.is_empty()).collect();
    let taken = |shown: &[usize]| -> u16 { shown.iter().map(|&at| columns[at].width + GAP).sum() };
    while width < NAME.min(width / 2 + 4).saturating_add(taken(&shown)) {
        // All that are worth the same go together: half of a pair says little.
        let Some(worst) = shown.iter().map(|&at| columns[at].rank).max().filter(|&rank| rank > 0) else {
            break;
        };
        shown.retain(|&at| columns[at].rank < worst);
    }
    let parts = shown.iter().filter(|&&at| columns[at].is_part).count() as u16;
    let left = width.saturating_sub(taken(&shown));
    let percent = parts > 0 && left >= ROOMY.0 + parts * PERCENT;
    let bar = percent && left >= ROOMY.1 + parts * (PERCENT + BAR);
    let more = u16::from(percent) * PERCENT + u16::from(bar) * BAR;
    let name = left.saturating_sub(parts * more).max(1);
    let mut slots = vec![Slot { column: 0, width: name, percent: false, bar: false }];
    slots.extend(shown.into_iter().map(|column| {
        let is_part = columns[column].is_part;
        Slot {
            column,
            width: columns[column].width + if is_part { more } else { 0 },
            percent: is_part && percent,
            bar: is_part && bar,
        }
    }));
    slots
}

/// The beginning of a text that fits, with `…` if it is not all.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Shortens the parts of a name so that it fits: places go first, then the longest is cut, so that ids stay.
pub(crate) fn fit(mut parts: Vec<(String, Tone)>, width: usize) -> Vec<(String, Tone)> {
    let all = |parts: &[(String, Tone)]| parts.iter().map(|(text, _)| text.width()).sum::<usize>();
    if all(&parts) > width {
        parts.retain(|(_, tone)| *tone != Tone::Place);
    }
    let over = all(&parts).saturating_sub(width);
    if over > 0
        && let Some((text, _)) = parts.iter_mut().max_by_key(|(text, _)| text.width())
    {
        *text = cut(text, text.width().saturating_sub(over).max(6));
    }
    let mut left = width;
    for (text, _) in &mut parts {
        *text = cut(text, left);
        left = left.saturating_sub(text.width());
    }
    parts
}

/// Text at the right end of a column.
pub(crate) fn right(text: &str, width: usize) -> String {
    let text = cut(text, width);
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// Text at the left end of a column.
pub(crate) fn left(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let rest = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(rest))
}

/// A part of a whole as a bar, in eighths of a column.
pub(crate) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = ((share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize).min(width * 8);
    let mut out = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        out.push(EIGHTHS[eighths % 8]);
    }
    left(&out, width)
}
