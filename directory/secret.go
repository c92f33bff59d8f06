package directory

import (
	"crypto/rand"
	"encoding/base32"
	"hash/crc32"
	"strings"
	"unicode/utf8"
)

// A token is
//
//	muster_mfrw2zi_4fA0…43 letters and digits…q_2KxP0a
//	prefix tenant  secret                       checksum
//
// The tenant is in base32, in lower case and without padding, so that one
// tenant's records are all that is read for it. The secret is 43 letters and
// digits, 256 random bits. The checksum is the CRC-32 of all before it, in the
// same 62 characters, so that a token that was cut off or mistyped is told from
// one that is not valid, without asking the store. There are only letters,
// digits and the underscore in it: RFC 6750 section 2.1 allows them, a double
// click selects all of them, and none is escaped anywhere.
const (
	secretLength   = 43
	checksumLength = 6
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// mostPrefix bounds [Options].TokenPrefix, in bytes.
const mostPrefix = 16

// mostTenant bounds the name of a tenant, in bytes: its tokens have 463
// characters then, which fits every provider's field and every proxy's header.
const mostTenant = 240

// mostToken bounds a token, in bytes.
const mostToken = mostPrefix + 1 + (mostTenant*8+4)/5 + 1 + secretLength + 1 + checksumLength

var tenantEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// encodeTenant returns a tenant's name as it is in tokens.
func encodeTenant(tenant string) string { return tenantEncoding.EncodeToString([]byte(tenant)) }

// decodeTenant returns the tenant that is written so, in the one way in which it
// is.
func decodeTenant(name string) (tenant string, ok bool) {
	b, err := tenantEncoding.DecodeString(name)
	if err != nil || len(b) == 0 || len(b) > mostTenant || !utf8.Valid(b) || encodeTenant(string(b)) != name {
		return "", false
	}
	return string(b), true
}

// newSecret returns a new token of a tenant.
func newSecret(prefix, tenant string) string {
	var b strings.Builder
	b.WriteString(prefix + "_" + encodeTenant(tenant) + "_")
	b.WriteString(randomText(secretLength))
	sum := checksum(b.String())
	return b.String() + "_" + string(sum[:])
}

// randomText returns n random letters and digits.
func randomText(n int) string {
	text := make([]byte, 0, n)
	var random [64]byte
	for len(text) < n {
		_, _ = rand.Read(random[:]) // never fails
		for _, r := range random {
			// The remainder of more than 4 times 62 would not be even.
			if r < 4*byte(len(base62)) && len(text) < n {
				text = append(text, base62[int(r)%len(base62)])
			}
		}
	}
	return string(text)
}

// checksum returns what a token that begins so ends with.
func checksum(s string) (sum [checksumLength]byte) {
	// Not of a []byte(s): the table's way over a string needs no memory.
	c := ^uint32(0)
	for i := range len(s) {
		c = crc32.IEEETable[byte(c)^s[i]] ^ c>>8
	}
	c = ^c
	for i := len(sum) - 1; i >= 0; i-- {
		sum[i] = base62[c%uint32(len(base62))]
		c /= uint32(len(base62))
	}
	return sum
}

// A malformed token is told of in the operator's log, by why.
type malformed string

const (
	notOurs   malformed = "it does not have the form of a token of this service"
	truncated malformed = "its checksum is wrong: a character of it is missing, was added or mistyped"
)

// tenantOf returns the part of a token that names its tenant, or what is wrong
// with the token's form.
func tenantOf(prefix, secret string) (name string, wrong malformed) {
	rest, ok := strings.CutPrefix(secret, prefix)
	if !ok || rest == "" || rest[0] != '_' {
		return "", notOurs
	}
	name, after, _ := strings.Cut(rest[1:], "_")
	if len(after) != secretLength+1+checksumLength || after[secretLength] != '_' || name == "" || len(name) > tenantEncoding.EncodedLen(mostTenant) {
		return "", truncated // or something else altogether, but it began well
	}
	sum := checksum(secret[:len(secret)-1-checksumLength])
	if after[secretLength+1:] != string(sum[:]) {
		return "", truncated
	}
	return name, ""
}
