// Package filter is the filter and path grammar of RFC 7644 (sections 3.4.2.2
// and 3.5.2): it parses, prints and matches.
//
// [Parse] resolves every name to an [attr.Attribute] and every literal to the
// type of the attribute it is compared with, once; what is not comparable is
// refused there. An [Expr] is therefore always meaningful, needs no schema to
// be read, and is safe for concurrent use. A store that has no use for
// expressions asks [Match]; one with an index asks [Equalities] first; one that
// speaks SQL translates the six nodes.
//
// # What a comparison means
//
// The RFC leaves room. This is how it is used, by [Match] and by every store:
//
//   - Strings and references compare by the attribute's caseExact: bytewise, or
//     by the runes of [attr.Fold]. Order is that of the bytes or of the folded
//     runes.
//   - Booleans and binaries have no order and no parts: eq and ne only.
//     Binaries are equal when their octets are, padding and alphabet ignored.
//   - Integers compare exactly, whatever their size; decimals as float64.
//   - A dateTime is an instant: eq, ne and the order, in any time zone and with
//     up to nine fractional digits; it has no parts.
//   - A multi-valued attribute matches if any of its values does, for every
//     operator, ne included: emails.type ne "work" finds who has an address
//     that is not of type work. Who has none of that type is found by
//     not (emails.type eq "work").
//   - What has no value is not identical to anything: ne matches it. So it does
//     for a value of a multi-valued attribute without the sub-attribute, and
//     for a multi-valued attribute without values. Every other operator does
//     not match where there is no value.
//   - An attribute is present (pr) if it has a value that is not the empty
//     string; a complex attribute, if one of its sub-attributes is. eq null is
//     the opposite of pr, ne null is pr; other operators do not take null.
//   - A complex attribute stands for its sub-attribute "value" (RFC 7643
//     section 2.4); without one it cannot be compared.
//   - A value path matches if one value of the attribute matches all that is in
//     the brackets.
package filter
