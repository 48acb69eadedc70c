//! QR codes (ISO/IEC 18004) of activation codes: as SVG for pages, PNG for mails, text for terminals.
//!
//! Error correction level M with the full quiet zone of 4 modules: readable from a screen and from paper. The text
//! goes in as it is; upper-case codes make smaller symbols by themselves. A picture is as secret as its text.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Width of the light border, in modules.
const QUIET_ZONE: usize = 4;
/// Size of a module in an SVG that is shown without scaling, in pixels.
const SVG_MODULE_PX: usize = 8;
/// Largest module of a PNG, in pixels: the largest symbol is then 5920 pixels wide.
pub const MAX_MODULE_PX: u32 = 32;

/// Why there is no QR code. The text is not quoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QrError {
    /// The text does not fit the largest symbol.
    #[error(
        "{length} bytes are too long for a QR code of error correction level M, which holds at most 2331"
    )]
    TooLong {
        /// Length of the text in bytes.
        length: usize,
    },
    /// The module size makes no picture, or a needlessly large one.
    #[error("a module of {module_px} pixels is not possible; choose 1 to {MAX_MODULE_PX}")]
    ModuleSize {
        /// The size asked for, in pixels.
        module_px: u32,
    },
    /// The PNG encoder failed.
    #[error("the PNG could not be written")]
    Png(#[source] png::EncodingError),
}

/// An SVG picture of `text`: one path of dark modules on white, scalable without blur.
///
/// # Errors
/// [`QrError::TooLong`].
pub fn svg(text: &str) -> Result<String, QrError> {
    let symbol = Symbol::new(text)?;
    let (side, px) = (symbol.side, symbol.side.saturating_mul(SVG_MODULE_PX));
    let mut path = String::new();
    for y in 0..side {
        let mut x = 0;
        while x < side {
            let run = (x..side).take_while(|&x| symbol.is_dark(x, y)).count();
            if run > 0 {
                // Writing into a String cannot fail.
                let _ = write!(path, "M{x} {y}h{run}v1h-{run}z");
            }
            x = x.saturating_add(run.max(1));
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{px}\" height=\"{px}\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/>\
         <path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

/// A PNG picture of `text`, 8-bit greyscale, `module_px` pixels per module (1 to [`MAX_MODULE_PX`]).
///
/// # Errors
/// [`QrError::TooLong`], [`QrError::ModuleSize`].
pub fn png(text: &str, module_px: u32) -> Result<Vec<u8>, QrError> {
    let size_error = || QrError::ModuleSize { module_px };
    if !(1..=MAX_MODULE_PX).contains(&module_px) {
        return Err(size_error());
    }
    let scale = usize::try_from(module_px).map_err(|_| size_error())?;
    let symbol = Symbol::new(text)?;
    let side_px = u32::try_from(symbol.side.saturating_mul(scale)).map_err(|_| size_error())?;
    let mut pixels = Vec::with_capacity(symbol.side.saturating_mul(scale).saturating_pow(2));
    for y in 0..symbol.side {
        let line: Vec<u8> = (0..symbol.side)
            .flat_map(|x| std::iter::repeat_n(if symbol.is_dark(x, y) { 0 } else { 255 }, scale))
            .collect();
        for _ in 0..scale {
            pixels.extend_from_slice(&line);
        }
    }
    encode(side_px, &pixels).map_err(QrError::Png)
}

fn encode(side_px: u32, pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side_px, side_px);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// `text` as lines of block characters, two modules to a character.
///
/// Light modules are drawn and dark ones left empty, so that the symbol has its right polarity on a dark terminal;
/// readers also take the inverse that a light terminal shows.
///
/// # Errors
/// [`QrError::TooLong`].
pub fn terminal(text: &str) -> Result<String, QrError> {
    let symbol = Symbol::new(text)?;
    let mut lines = String::new();
    for y in (0..symbol.side).step_by(2) {
        for x in 0..symbol.side {
            // Beyond the last line of an odd side there is nothing to draw.
            let below = y.saturating_add(1);
            lines.push(match (symbol.is_dark(x, y), below >= symbol.side || symbol.is_dark(x, below)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        lines.push('\n');
    }
    Ok(lines)
}

/// The modules of a symbol with its quiet zone.
struct Symbol {
    /// Modules on a side, quiet zone included.
    side: usize,
    inner: usize,
    modules: Vec<Color>,
}

impl Symbol {
    fn new(text: &str) -> Result<Self, QrError> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)
            .map_err(|_| QrError::TooLong { length: text.len() })?;
        let inner = code.width();
        Ok(Self { side: inner.saturating_add(2 * QUIET_ZONE), inner, modules: code.into_colors() })
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        match (x.checked_sub(QUIET_ZONE), y.checked_sub(QUIET_ZONE)) {
            (Some(x), Some(y)) if x < self.inner && y < self.inner => {
                self.modules.get(y.saturating_mul(self.inner).saturating_add(x)) == Some(&Color::Dark)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOWER: &str = "LPA:1$smdp.example.com$04386-aGYFT-A74Y8-3F815$1.3.6.1.4.1.31746$1";
    const UPPER: &str = "LPA:1$SMDP.GSMA.COM$04386-AGYFT-A74Y8-3F815";

    /// What a scanner reads from a picture of light (`true`) and dark points.
    fn scan(side: usize, is_light: impl Fn(usize, usize) -> bool) -> String {
        let grey = |x: usize, y: usize| if is_light(x, y) { 255 } else { 0 };
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, grey);
        let grids = picture.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    fn scan_png(file: &[u8]) -> (u32, String) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
        assert_eq!(info.width, info.height);
        let side = usize::try_from(info.width).unwrap();
        (info.width, scan(side, |x, y| pixels[y * side + x] == 255))
    }

    /// Draws the `M x y h n v1 h-n z` runs of the dark path.
    fn rasterise(svg: &str) -> Vec<Vec<bool>> {
        let side: usize =
            svg.split_once("viewBox=\"0 0 ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
        let path = svg.split_once("fill=\"#000\" d=\"").unwrap().1.split_once('"').unwrap().0;
        let mut light = vec![vec![true; side]; side];
        for run in path.split_terminator('z') {
            let (start, rest) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = start.split_once(' ').unwrap();
            let (length, back) = rest.split_once("v1h-").unwrap();
            assert_eq!(length, back);
            let (x, y, length): (usize, usize, usize) =
                (x.parse().unwrap(), y.parse().unwrap(), length.parse().unwrap());
            light[y][x..x + length].fill(false);
        }
        light
    }

    #[test]
    fn a_png_scans_to_exactly_the_text_at_any_size() {
        for text in [LOWER, UPPER] {
            for module_px in [2, 3, 8] {
                let (side, read) = scan_png(&png(text, module_px).unwrap());
                assert_eq!(read, text);
                assert_eq!(side % module_px, 0);
            }
        }
        assert!(scan_png(&png(UPPER, 1).unwrap()).0 < scan_png(&png(LOWER, 1).unwrap()).0);
    }

    #[test]
    fn an_svg_scans_to_exactly_the_text() {
        for text in [LOWER, UPPER] {
            let light = rasterise(&svg(text).unwrap());
            assert_eq!(scan(light.len() * 3, |x, y| light[y / 3][x / 3]), text);
            let border = |at: usize| at < QUIET_ZONE || at >= light.len() - QUIET_ZONE;
            for (y, line) in light.iter().enumerate() {
                for (x, light) in line.iter().enumerate() {
                    assert!(*light || !(border(x) || border(y)));
                }
            }
        }
    }

    #[test]
    fn a_terminal_picture_scans_to_exactly_the_text() {
        let text = terminal(LOWER).unwrap();
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let side = lines[0].len();
        assert_eq!(lines.len(), side.div_ceil(2));
        let light = |x: usize, y: usize| {
            let drawn = lines[y / 2][x];
            drawn == '█' || drawn == if y.is_multiple_of(2) { '▀' } else { '▄' }
        };
        assert_eq!(scan(side * 3, |x, y| light(x / 3, y / 3)), LOWER);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(svg(&"a".repeat(2331)).is_ok());
        let error = terminal(&"a".repeat(2332)).unwrap_err();
        assert!(matches!(error, QrError::TooLong { length: 2332 }), "{error}");
        for module_px in [0, MAX_MODULE_PX + 1, u32::MAX] {
            let error = png(LOWER, module_px).unwrap_err();
            assert!(
                matches!(error, QrError::ModuleSize { module_px: found } if found == module_px),
                "{error}"
            );
        }
        assert!(png(LOWER, MAX_MODULE_PX).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_code_survives_the_picture(text in "LPA:1\\$[a-zA-Z0-9.-]{3,60}\\$[0-9A-Za-z-]{0,60}(\\$\\$1)?") {
            prop_assert_eq!(scan_png(&png(&text, 3).unwrap()).1, text);
        }
    }
}
