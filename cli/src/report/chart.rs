//! Bars that are drawn to scale. They are SVG without texts: the numbers stand beside them, where they can be read at
//! any width.

use maud::{Markup, html};

/// A part of a whole.
pub struct Part {
    /// The class of its color.
    pub class: &'static str,
    pub label: String,
    pub value: String,
    pub note: String,
    /// The share of the whole, from 0 to 1.
    pub share: f64,
}

/// A row of a bar chart.
pub struct Bar {
    pub class: &'static str,
    pub label: String,
    pub value: String,
    pub note: String,
    /// The length as a share of the longest possible bar, from 0 to 1.
    pub share: f64,
}

/// A piece of a track, from one place to another, both from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub class: &'static str,
    pub from: f64,
    pub to: f64,
}

/// Draws the parts of a whole as one bar, with a legend that has their values.
pub fn whole(parts: &[Part]) -> Markup {
    let mut from = 0.0;
    let pieces: Vec<Piece> = parts
        .iter()
        .map(|part| {
            let piece = Piece { class: part.class, from, to: from + part.share };
            from = piece.to;
            piece
        })
        .collect();
    html! {
        (track(&pieces, 28))
        ul.parts {
            @for part in parts {
                li {
                    span.value.figure { (part.value) }
                    (key(part.class)) (part.label)
                    @if !part.note.is_empty() { br; span.soft { (part.note) } }
                }
            }
        }
    }
}

/// Draws a bar for each row.
pub fn bars(rows: &[Bar]) -> Markup {
    html! {
        ul.bars {
            @for row in rows {
                li {
                    div.row { span.strong { (row.label) } span.figure { (row.value) } }
                    (track(&[Piece { class: row.class, from: 0.0, to: row.share }], 14))
                    @if !row.note.is_empty() { p.note { (row.note) } }
                }
            }
        }
    }
}

/// Draws pieces on a track of this height in pixels. Every piece is wide enough to be seen.
pub fn track(pieces: &[Piece], height: u32) -> Markup {
    html! { svg.track height=(height) aria-hidden="true" { (ground(height)) (lane(pieces, 0.0, height.into())) } }
}

/// Draws lanes below each other on one track, for many items that run side by side.
pub fn lanes(lanes: &[Vec<Piece>]) -> Markup {
    let each = (240.0 / lanes.len().max(1) as f64).clamp(1.0, 6.0);
    let height = (each * lanes.len() as f64).ceil() as u32;
    html! {
        svg.track height=(height) aria-hidden="true" {
            (ground(height))
            @for (n, pieces) in lanes.iter().enumerate() { (lane(pieces, each * n as f64, each)) }
        }
    }
}

/// Returns the color of a class for a legend.
pub fn key(class: &str) -> Markup {
    html! { svg.key width="12" height="12" aria-hidden="true" { rect class=(class) width="12" height="12" rx="3" {} } }
}

fn ground(height: u32) -> Markup {
    html! { rect.ground width="100%" height=(height) {} }
}

fn lane(pieces: &[Piece], y: f64, height: f64) -> Markup {
    html! {
        @for piece in pieces.iter().filter(|piece| piece.to > piece.from) {
            @let width = (piece.to - piece.from).clamp(0.003, 1.0);
            @let from = piece.from.clamp(0.0, 1.0 - width);
            rect class=(piece.class) x=(percent(from)) width=(percent(width)) y=(number(y)) height=(number(height)) {}
        }
    }
}

fn percent(share: f64) -> String {
    format!("{}%", number(share * 100.0))
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(from: f64, to: f64) -> Piece {
        Piece { class: "answered", from, to }
    }

    #[test]
    fn a_track_is_drawn_to_scale() {
        let drawn = track(&[piece(0.25, 0.5)], 10).into_string();
        assert!(drawn.contains(r#"x="25%" width="25%""#), "{drawn}");
    }

    #[test]
    fn the_shortest_piece_is_seen_and_nothing_leaves_the_track() {
        let drawn =
            track(&[piece(0.0, 0.0001), piece(0.9999, 1.2), piece(0.5, 0.5)], 10).into_string();
        assert!(drawn.contains(r#"x="0%" width="0.3%""#), "{drawn}");
        assert!(drawn.contains(r#"x="79.99%" width="20.01%""#), "{drawn}");
        assert_eq!(drawn.matches("class=\"answered\"").count(), 2, "an empty piece is not drawn");
    }
}
