package scim

import (
	"net/http"
	"strings"
)

// A versionMatch is what If-Match or If-None-Match says: the versions of a
// resource that a client makes a request depend on, RFC 7644 section 3.14 and
// RFC 9110 section 13. Both hold for every method on a resource.
//
// Where the same request without them would be answered with an error they mean
// nothing (RFC 9110 section 13.2.1): what is not there is a 404, "If-Match: *"
// or not. Nor do they on a whole collection, which has no version: a POST with
// "If-None-Match: *" creates what is not there yet, as every POST does. No
// Last-Modified is sent, so that If-Modified-Since and If-Unmodified-Since mean
// nothing either (sections 13.1.3 and 13.1.4).
type versionMatch string

// given reports whether there is one: a write that then loses a race is the
// client's to repeat.
func (m versionMatch) given() bool { return m != "" }

// check is If-Match. What is no entity tag names no version, so that no write
// goes ahead because a header was mistyped.
func (m versionMatch) check(r *Resource) error {
	if m == "" || m.names(r.version) {
		return nil
	}
	return ErrVersion
}

// checkNone is If-None-Match on a change.
func (m versionMatch) checkNone(r *Resource) error {
	if m == "" || !m.names(r.version) {
		return nil
	}
	return refuse(http.StatusPreconditionFailed, "", "the resource has a version that If-None-Match names; leave the header out to change it all the same, RFC 9110 section 13.1.2")
}

// unchanged is If-None-Match on a read: the client has this version already.
// The groups of a user are not covered by its version (rule E3a).
func (m versionMatch) unchanged(r *Resource, v view) bool {
	return m != "" && !v.includes(r.typ.groups) && m.names(r.version)
}

// names reports whether the header is "*", or a list of entity tags (RFC 9110
// section 8.8.3) with that of the version. Tags are compared by their opaque
// part: a W/ before it means nothing here (rule E3a). A header of another form
// names none.
func (m versionMatch) names(version Version) bool {
	header := string(m)
	if strings.Trim(header, " \t") == "*" {
		return true
	}
	want := strings.TrimPrefix(version.ETag(), "W/")
	found := false
	for {
		header = strings.TrimLeft(header, " \t,") // empty elements are allowed, RFC 9110 section 5.6.1.2
		if header == "" {
			return found
		}
		tag := strings.TrimPrefix(header, "W/")
		if tag == "" || tag[0] != '"' {
			return false
		}
		end := strings.IndexByte(tag[1:], '"') + 2
		if end < 2 {
			return false
		}
		found = found || tag[:end] == want
		header = strings.TrimLeft(tag[end:], " \t")
		if header != "" && header[0] != ',' {
			return false
		}
	}
}
