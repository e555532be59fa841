//! What the targets share.

/// Two texts behind each other, with a zero byte between them.
pub fn two(input: &[u8]) -> Option<(&str, &str)> {
    let position = input.iter().position(|byte| *byte == 0)?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(&input[..position])?, text(&input[position + 1..])?))
}
