package scim

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
)

// registered reports whether the email's domain is one of the directory's,
// exactly: a subdomain is another domain.
func registered(d *Directory, email string) bool {
	_, domain := splitEmail(email)
	if domain == "" {
		return false
	}
	for _, own := range d.Domains {
		if sameDomain(own, domain) {
			return true
		}
	}
	return false
}

// checkDomain applies rule A6: a user's email must be in a registered domain,
// and a userName in the form of an email too, so that nobody arrives as
// victim@other.example with a harmless email beside it. It returns why the
// account is to be held, or the refusal.
func checkDomain(d *Directory, r *Resource) (held string, err error) {
	if d.Policy.Domain == AnyDomain {
		return "", nil
	}
	email, from := emailOf(r, d.Policy.EmailSource)
	outside := from
	if email == "" || registered(d, email) {
		outside = nil
	}
	// An @ makes it an email here, also where a slip of form makes it none, as
	// a full-width one does, which is another spelling of it to every comparison.
	if userName := r.User().UserName(); outside == nil && strings.Contains(attr.Fold(userName), "@") && (!isEmail(userName) || !registered(d, userName)) {
		email, outside = userName, r.typ.userName
	}
	if outside == nil {
		return "", nil
	}
	if d.Policy.Domain == GuestDomain {
		return HeldForDomain, nil
	}
	_, domain := splitEmail(attr.Fold(email))
	if len(d.Domains) == 0 {
		return "", refuse(http.StatusBadRequest, InvalidValue, outside.Path(), ": the organization has no registered domain yet, so nobody can be provisioned; register ",
			attr.Quote(domain), " in the application first").because(ReasonNoDomains)
	}
	return "", refuse(http.StatusBadRequest, InvalidValue, outside.Path(), ": the domain ", attr.Quote(domain), " is not one of the organization's ",
		strconv.Itoa(len(d.Domains)), " registered domains; register it in the application, or leave this person out of provisioning").because(ReasonDomain)
}
