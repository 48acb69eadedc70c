//! Reading QR codes as a phone does: from the pixels, by a decoder that shares nothing with the encoder.

use std::io::Cursor;

/// Pixels of a side of a module when an SVG is drawn.
const SCALE: usize = 4;

/// The text of the QR code in a PNG.
pub(crate) fn decode_png(file: &[u8]) -> String {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let frame = reader.next_frame(&mut pixels).expect("a frame");
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
    let width = usize::try_from(frame.width).unwrap();
    decode(width, usize::try_from(frame.height).unwrap(), |x, y| pixels[y * width + x])
}

/// Width of a PNG in pixels.
pub(crate) fn width_of(file: &[u8]) -> u32 {
    png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG").info().width
}

/// The text of the QR code in an SVG: its paths are drawn, in their order, and the picture is read.
pub(crate) fn decode_svg(file: &str) -> String {
    assert!(file.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{file}");
    let view_box: Vec<usize> =
        attribute(file, "viewBox").split(' ').map(|number| number.parse().unwrap()).collect();
    let [0, 0, width, height] = view_box[..] else { panic!("{view_box:?}") };
    let mut canvas = vec![vec![255; width * SCALE]; height * SCALE];
    for path in file.split("<path ").skip(1) {
        let shade = match attribute(path, "fill") {
            "#fff" => 255,
            "#000" => 0,
            other => panic!("the colour {other} is not drawn here"),
        };
        for rectangle in rectangles(attribute(path, "d")) {
            fill(&mut canvas, rectangle, shade);
        }
    }
    decode(width * SCALE, height * SCALE, |x, y| canvas[y][x])
}

fn decode(width: usize, height: usize, pixel: impl FnMut(usize, usize) -> u8) -> String {
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, pixel);
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1, "one QR code");
    grids[0].decode().expect("a readable QR code").1
}

fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name}"));
    rest.split('"').next().unwrap()
}

/// Left, top, right and bottom of the closed shapes of a path; each must be a rectangle.
fn rectangles(path: &str) -> Vec<[i64; 4]> {
    let shapes = path.split_inclusive('z').filter(|shape| !shape.trim().is_empty());
    shapes.map(|shape| rectangle(shape.strip_suffix('z').expect("a closed shape"))).collect()
}

fn rectangle(shape: &str) -> [i64; 4] {
    let (mut x, mut y) = (0, 0);
    let mut corners = Vec::new();
    let mut rest = shape;
    while let Some(command) = rest.chars().next() {
        let end = rest[1..].find(|letter: char| letter.is_ascii_alphabetic()).map_or(rest.len(), |at| at + 1);
        let numbers: Vec<i64> =
            rest[1..end].split([' ', ',']).map(|number| number.parse().unwrap()).collect();
        match (command, numbers.as_slice()) {
            ('M', [to_x, to_y]) => (x, y) = (*to_x, *to_y),
            ('h', [by]) => x += by,
            ('v', [by]) => y += by,
            other => panic!("{other:?} is not drawn here"),
        }
        corners.push((x, y));
        rest = &rest[end..];
    }
    let [(left, top), (right, _), (_, bottom), last] = corners[..] else { panic!("{corners:?}") };
    assert_eq!(corners[1..], [(right, top), (right, bottom), (left, bottom)], "{last:?}");
    [left.min(right), top.min(bottom), left.max(right), top.max(bottom)]
}

fn fill(canvas: &mut [Vec<u8>], [left, top, right, bottom]: [i64; 4], shade: u8) {
    let pixels =
        |from: i64, to: i64| usize::try_from(from).unwrap() * SCALE..usize::try_from(to).unwrap() * SCALE;
    for row in &mut canvas[pixels(top, bottom)] {
        row[pixels(left, right)].fill(shade);
    }
}
