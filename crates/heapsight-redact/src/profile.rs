//! A sampling profile that can be shared.
//!
//! A profile has no values: its texts are names of functions and files. What is data among them goes, as it goes from the
//! names of a snapshot. Time and memory linear in the strings.

use heapsight_profile::{Profile, Strings};

use crate::{marker::Key, names::rewritten, redact::Replaced, uses::Use};

/// Replaces what is data in the names and URLs of a profile.
pub fn redact_profile(profile: &mut Profile, key: &Key) -> Replaced {
    let mark = |text: &str| key.of_text(text);
    let mut replaced = Replaced::default();
    let mut strings = Strings::default();
    let numbers: Vec<u32> = (0..profile.strings.len() as u32)
        .map(|number| {
            let text = profile.strings.get(number);
            if let Some(new) = rewritten(text, Use::default(), &mark) {
                replaced.parts += 1;
                strings.number(&new)
            } else {
                replaced.names += 1;
                strings.number(text)
            }
        })
        .collect();
    for function in &mut profile.functions {
        for number in [&mut function.name, &mut function.url] {
            *number = numbers.get(*number as usize).copied().unwrap_or(*number);
        }
    }
    profile.strings = strings;
    replaced
}
