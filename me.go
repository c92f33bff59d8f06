package scim

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// self serves /Me, the user whose credential it is (RFC 7644 section 3.11): as
// /Users/{id}, and every answer says where that is. Who is deactivated has no
// /Me, so that nobody reactivates or reads themselves after access has ended;
// what such a caller may do to /Users is the host's to say.
func (x *exchange) self(ctx context.Context, subject string) error {
	x.route.typ = x.engine.cfg.Types.Type("User")
	if err := x.q.scope.check(x.route.typ, x.r.Method, false); err != nil {
		return err
	}
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete}
	switch {
	case x.route.id != "":
		return refuse(http.StatusNotFound, "", "there is nothing below /Me").because(ReasonSyntax)
	case x.r.Method == http.MethodPost:
		// The RFC leaves to us what is created: nothing, as who calls is a user
		// already, or nobody.
		return refuse(http.StatusNotImplemented, "", "/Me cannot be created; users are created with POST /Users, RFC 7644 section 3.11")
	case !slices.Contains(methods, x.r.Method):
		return x.methodNotAllowed(strings.Join(methods, ", "))
	case subject == "":
		return refuse(http.StatusNotImplemented, "", "/Me is the user whose credential it is, and this one is nobody's; name the user, as in /Users/{id}, RFC 7644 section 3.11")
	case !isText(subject):
		return ErrNotFound
	}
	x.route.id = subject
	x.q.self = true
	x.w.Header()["Location"] = []string{x.selfLocation()}
	return x.resource(ctx)
}

// selfLocation returns the URL of the user that /Me is.
func (x *exchange) selfLocation() string {
	return string(appendLocation(nil, x.base(), x.route.typ, x.route.id))
}

// checkSelf refuses the user that /Me is where it is deactivated: as one that
// does not exist, and in the transaction that would change it.
func (q *request) checkSelf(r *Resource) error {
	if q.self && !r.User().Active() {
		return ErrNotFound
	}
	return nil
}
