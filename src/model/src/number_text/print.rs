//! Float to text in Go's layouts. The digits are always the fewest that read back as the same float.

/// Digits of the longest 64-bit float.
const DIGITS_COUNT_MAX: usize = 17;
/// Whole numbers below this have exact digits of their own and need no search for the shortest.
const WHOLE_MAX: f64 = 1e15;
/// From here up to [`WHOLE_MAX`] the printer of floats writes fractions without an exponent, and so does Go.
const FRACTION_MIN: f64 = 1e-4;

/// The numbers below a hundred, as two digits each.
const DIGIT_PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Formats as Prometheus's API does: plain digits, with an exponent below 1e-6 and from 1e21 on.
/// Compat: `util/jsonutil/marshal.go`, `MarshalFloat`.
pub fn format_float(value: f64) -> String {
    collect(|out| push_float(out, value))
}

/// Formats as Go's `%v`, which is `strconv.FormatFloat(value, 'g', -1, 64)`: an exponent below 1e-4 and from 1e6 on.
/// Text exposition, `le` labels and PromQL literals have this look.
pub fn format_float_g(value: f64) -> String {
    collect(|out| push_float_g(out, value))
}

/// Formats as Go's `strconv.FormatFloat(value, 'f', -1, 64)`: never an exponent.
pub fn format_float_f(value: f64) -> String {
    collect(|out| push_float_f(out, value))
}

/// [`format_float`] at the end of a buffer.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if push_special(out, value) || push_whole(out, value) || push_fraction(out, value) {
        return;
    }
    let digits = Digits::of(value);
    let plain = (1e-6..1e21).contains(&magnitude);
    if plain { digits.push_plain(out) } else { digits.push_scientific(out) }
}

/// [`format_float_g`] at the end of a buffer.
pub fn push_float_g(out: &mut Vec<u8>, value: f64) {
    let is_moderate = value.abs() < 1e6;
    if push_special(out, value)
        || (is_moderate && (push_whole(out, value) || push_fraction(out, value)))
    {
        return;
    }
    let digits = Digits::of(value);
    let plain = (-3..=6).contains(&digits.point);
    if plain { digits.push_plain(out) } else { digits.push_scientific(out) }
}

/// [`format_float_f`] at the end of a buffer.
pub fn push_float_f(out: &mut Vec<u8>, value: f64) {
    if !push_special(out, value) && !push_whole(out, value) && !push_fraction(out, value) {
        Digits::of(value).push_plain(out);
    }
}

/// The value is `0.d1d2d3... * 10^point`; the first digit is not zero, nor is the last.
struct Digits {
    negative: bool,
    digits: [u8; DIGITS_COUNT_MAX],
    count: usize,
    point: i32,
}

impl Digits {
    /// Of a finite value that is not zero.
    fn of(value: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match memchr::memchr(b'e', text) {
            Some(at) => (&text[..at], exponent_of(&text[at + 1..])),
            None => (text, 0),
        };
        let mut this = Self { negative, digits: [0; DIGITS_COUNT_MAX], count: 0, point: exponent };
        let mut seen_point = false;
        // Zeros are held back until a digit follows: those at the end say nothing.
        let mut zeros = 0;
        for byte in mantissa {
            match byte {
                b'.' => {
                    seen_point = true;
                    continue;
                }
                b'0' if this.count == 0 => this.point -= i32::from(seen_point),
                b'0' => {
                    zeros += 1;
                    this.point += i32::from(!seen_point);
                }
                digit => {
                    this.count += zeros;
                    this.digits[this.count - zeros..this.count].fill(b'0');
                    zeros = 0;
                    this.digits[this.count] = *digit;
                    this.count += 1;
                    this.point += i32::from(!seen_point);
                }
            }
        }
        this
    }

    fn as_slice(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn push_sign(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        self.push_sign(out);
        let digits = self.as_slice();
        match usize::try_from(self.point) {
            Ok(point) if point >= digits.len() => {
                out.extend_from_slice(digits);
                out.extend(std::iter::repeat_n(b'0', point - digits.len()));
            }
            Ok(point) if point > 0 => {
                out.extend_from_slice(&digits[..point]);
                out.push(b'.');
                out.extend_from_slice(&digits[point..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.extend(std::iter::repeat_n(b'0', self.point.unsigned_abs() as usize));
                out.extend_from_slice(digits);
            }
        }
    }

    /// `d.ddde+XX`: the exponent has a sign and at least two digits.
    fn push_scientific(&self, out: &mut Vec<u8>) {
        self.push_sign(out);
        let digits = self.as_slice();
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = self.point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        push_integer(out, u64::from(exponent.unsigned_abs()));
    }
}

fn collect(push: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(24);
    push(&mut out);
    String::from_utf8(out).expect("floats are printed in ASCII")
}

/// What has no digits.
fn push_special(out: &mut Vec<u8>, value: f64) -> bool {
    let text: &[u8] = match value {
        _ if value.is_nan() => b"NaN",
        f64::INFINITY => b"+Inf",
        f64::NEG_INFINITY => b"-Inf",
        _ => return false,
    };
    out.extend_from_slice(text);
    true
}

/// Whole numbers of moderate size, without looking for the shortest digits; false for all others.
fn push_whole(out: &mut Vec<u8>, value: f64) -> bool {
    let magnitude = value.abs();
    let fits = magnitude < WHOLE_MAX && magnitude.trunc() == magnitude;
    if fits {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        push_integer(out, magnitude as u64);
    }
    fits
}

/// Fractions of moderate size, whose digits need no other layout; false for all others. Not for whole numbers.
fn push_fraction(out: &mut Vec<u8>, value: f64) -> bool {
    let fits = (FRACTION_MIN..WHOLE_MAX).contains(&value.abs());
    if fits {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
    fits
}

/// A whole number at the end of a buffer. Two digits at a time take half the divisions.
pub fn push_integer(out: &mut Vec<u8>, mut number: u64) {
    let mut buffer = [0; 20];
    let mut at = buffer.len();
    while number >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&DIGIT_PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number > 0 || at == buffer.len() {
        at -= 1;
        buffer[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&buffer[at..]);
}

/// Digits with an optional sign, as the printer of floats writes them.
fn exponent_of(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let number = digits.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
    if negative { -number } else { number }
}
