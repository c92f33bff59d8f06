// Package attr is the document model: SCIM resources as attributes resolved
// against their schemas (RFC 7643 section 2).
//
// A document has two forms. [Stored] is at rest: canonical JSON and a flat,
// pointer-free table of where each value stands in it. [Doc] is being worked
// on: a small tree in an arena. Decoding resolves every name to an
// [*Attribute] and every value to its type, once; behind it nothing sees a
// client's spelling, a null, an empty list or a boolean in quotes. [Value]
// reads both forms, so there is one matcher for filters.
//
//	decode ─→ Doc ─→ Freeze ─→ Stored ─→ Thaw ─→ Doc …
//
// The package is pure: no I/O, no clock, nothing global that changes.
package attr
