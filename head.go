package scim

import "net/http"

// A headWriter sends the head of an answer and not its content: a HEAD is
// answered as the GET would be, RFC 9110 section 9.3.2.
type headWriter struct{ http.ResponseWriter }

func (headWriter) Write(b []byte) (int, error) { return len(b), nil }
