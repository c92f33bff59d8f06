package scim

import (
	"net/http"
	"strings"

	"github.com/muster-id/scim/attr"
)

// checkProtocolVersion refuses a request for another version of the protocol
// than 2: RFC 7644 section 3.13 has it in the segment right before the
// endpoint. Where the handler is mounted the path begins behind the mount
// point, so that a "v1" in the host's own URLs is not looked at.
func checkProtocolVersion(r *http.Request, rt *route) error {
	path := r.URL.Path
	if r.URL.RawPath != "" {
		path = r.URL.RawPath
	}
	before, _ := strings.CutSuffix(strings.TrimRight(path, "/"), rt.path)
	before = strings.TrimRight(before, "/")
	segment := before[strings.LastIndexByte(before, '/')+1:]
	number, ok := strings.CutPrefix(segment, "v")
	if !ok || number == "" || strings.Trim(number, "0123456789.") != "" || number == "2" || number == "2.0" {
		return nil
	}
	return refuse(http.StatusBadRequest, InvalidVers, "the path asks for the protocol version ", attr.Quote(segment), "; this service provider speaks v2, RFC 7644 section 3.13")
}
