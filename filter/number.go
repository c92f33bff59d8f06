package filter

import (
	"math"
	"strconv"
	"strings"
)

// A decimal is a number literal: exactly, as 0.digits times ten to the power of
// exponent, and rounded. The digits have no zeros at either end; zero has none.
type decimal struct {
	negative bool
	digits   string
	exponent int
	float    float64
}

// maxExponent is far beyond what anybody means and far below an overflow.
const maxExponent = 1_000_000

// parseDecimal reads a JSON number (RFC 8259 section 6). What float64 cannot hold
// is infinite there. It refuses exponents beyond maxExponent.
func parseDecimal(s string) (decimal, bool) {
	rest, negative := strings.CutPrefix(s, "-")
	whole, rest := cutDigits(rest)
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return decimal{}, false
	}
	fraction := ""
	if after, ok := strings.CutPrefix(rest, "."); ok {
		if fraction, rest = cutDigits(after); fraction == "" {
			return decimal{}, false
		}
	}
	power := 0
	if rest != "" {
		if rest[0]|0x20 != 'e' {
			return decimal{}, false
		}
		sign := strings.TrimPrefix(rest[1:], "+")
		if digits, end := cutDigits(strings.TrimPrefix(sign, "-")); digits == "" || end != "" || len(sign) < len(rest)-1 && sign[0] == '-' {
			return decimal{}, false
		}
		var err error
		if power, err = strconv.Atoi(sign); err != nil || power > maxExponent || power < -maxExponent {
			return decimal{}, false
		}
	}
	float, _ := strconv.ParseFloat(s, 64) // the syntax is right, and beyond the range it is infinite
	d := decimal{negative: negative, exponent: len(whole) + power, float: float}
	trimmed := strings.TrimLeft(whole+fraction, "0")
	d.exponent -= len(whole) + len(fraction) - len(trimmed)
	d.digits = strings.TrimRight(trimmed, "0")
	if d.digits == "" {
		d = decimal{}
	}
	return d, true
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// integer returns an integer as JSON spells it, of any size, to be compared: it
// has neither float nor lost the zeros at the end of its digits.
func integer(s string) decimal {
	digits, negative := strings.CutPrefix(s, "-")
	digits = strings.TrimLeft(digits, "0")
	return decimal{negative: negative && digits != "", digits: digits, exponent: len(digits)}
}

// compare orders two numbers exactly.
func (d *decimal) compare(other *decimal) int {
	if d.negative != other.negative {
		if d.negative {
			return -1
		}
		return 1
	}
	order := compareMagnitude(d.digits, d.exponent, other.digits, other.exponent)
	if d.negative {
		return -order
	}
	return order
}

func compareMagnitude(a string, aExponent int, b string, bExponent int) int {
	switch {
	case a == "" || b == "":
		return len(a) - len(b)
	case aExponent != bExponent:
		return aExponent - bExponent
	}
	for i := range max(len(a), len(b)) {
		x, y := byte('0'), byte('0')
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return int(x) - int(y)
		}
	}
	return 0
}

func (d *decimal) int() (int64, bool) {
	if d.digits == "" {
		return 0, true
	}
	if d.exponent < len(d.digits) || d.exponent > len(strconv.Itoa(math.MaxInt64)) {
		return 0, false
	}
	s := d.digits + strings.Repeat("0", d.exponent-len(d.digits))
	if d.negative {
		s = "-" + s
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
