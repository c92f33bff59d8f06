package scim

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// emailOf returns a user's email (rule A2) and the attribute it comes from:
// the primary value of emails, else the first of type work, else the first,
// else a userName in the form of an email; with UserNameThenEmails the userName
// first. Both are empty where there is none.
func emailOf(r *Resource, source EmailSource) (email string, from *attr.Attribute) {
	t := r.typ
	doc := r.doc.Value()
	userName := doc.Get(t.userName).Text()
	if source == UserNameThenEmails && isEmail(userName) {
		return userName, t.userName
	}
	if t.emails != nil {
		var work, first string
		for v := doc.Get(t.emails).First(); v.Exists(); v = v.Next() {
			value := v.Get(t.emailValue).Text()
			if value == "" {
				continue
			}
			if v.Get(t.emailPrimary).Bool() {
				return value, t.emailValue
			}
			if first == "" {
				first = value
			}
			if work == "" && strings.EqualFold(v.Get(t.emailType).Text(), "work") {
				work = value
			}
		}
		if work != "" {
			return work, t.emailValue
		}
		if first != "" {
			return first, t.emailValue
		}
	}
	if isEmail(userName) {
		return userName, t.userName
	}
	return "", nil
}

// isEmail reports whether s has the form of an email: something, an @, a
// domain.
func isEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && !strings.ContainsAny(s, " \t\r\n<>,;\"") && strings.IndexByte(s, '@') == at && isSpelledOut(s[at+1:])
}

// isSpelledOut reports whether a domain differs from what IDNA reads in it by no
// more than filters overlook. "acme。example" does, and so does one with a soft
// hyphen: two people could have one email, and no filter would find them both.
func isSpelledOut(domain string) bool {
	if isASCII(domain) {
		return true
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return true // it is no other domain's spelling
	}
	unicode, err := idna.Lookup.ToUnicode(ascii)
	return err == nil && attr.EqualFold(unicode, attr.Fold(domain))
}

// sameEmail reports whether two emails are the same person's address (rule
// A3): local part without case, domain in its ASCII form. Tags and dots count.
func sameEmail(a, b string) bool {
	if a == b {
		return true
	}
	la, da := splitEmail(a)
	lb, db := splitEmail(b)
	return attr.EqualFold(la, attr.Fold(lb)) && sameDomain(da, db)
}

func splitEmail(s string) (local, domain string) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s, ""
	}
	return s[:at], s[at+1:]
}

// FoldEmail returns the form of an email in which equal ones are equal strings
// (rule A3). A [Ledger] finds accounts of deleted users by it.
func FoldEmail(s string) string {
	local, domain := splitEmail(s)
	if domain == "" {
		return attr.Fold(local)
	}
	return attr.Fold(local) + "@" + asciiDomain(domain)
}

// sameDomain compares domains by their IDNA ASCII form.
func sameDomain(a, b string) bool {
	if isASCII(a) && isASCII(b) {
		return strings.EqualFold(a, b)
	}
	return asciiDomain(a) == asciiDomain(b)
}

// asciiDomain returns a domain in lower-case ASCII. One that IDNA refuses stays
// as it is, and equals no registered domain.
func asciiDomain(domain string) string {
	if !isASCII(domain) {
		if a, err := idna.Lookup.ToASCII(domain); err == nil {
			return a
		}
	}
	return strings.ToLower(domain)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// mayChangeEmail reports whether the policy lets an account have another email,
// that one (rule A4).
func mayChangeEmail(d *Directory, email string) bool {
	switch d.Policy.Email {
	case AllowEmailChange:
		return true
	case EmailWithinDomains:
		return registered(d, email)
	case RejectEmailChange, KeepEmail:
	}
	return false
}

// emailSpellings returns an email as filters find it: as it is, and with its
// domain in the other form if it has one.
func emailSpellings(email string) []string {
	local, domain := splitEmail(email)
	other := asciiDomain(domain)
	if strings.Contains(strings.ToLower(domain), "xn--") {
		if unicode, err := idna.Lookup.ToUnicode(domain); err == nil {
			other = unicode
		}
	}
	if strings.EqualFold(other, domain) {
		return []string{email}
	}
	return []string{email, local + "@" + other}
}

// inBothSpellings returns a filter that finds who has an email in either spelling
// of its domain. Rule A3 takes them for one, so a create is refused because of
// the other, and what is refused as existing can be found (rule A7).
func inBothSpellings(t *ResourceType, e filter.Expr) filter.Expr {
	switch e := e.(type) {
	case *filter.And:
		return &filter.And{Left: inBothSpellings(t, e.Left), Right: inBothSpellings(t, e.Right)}
	case *filter.Or:
		return &filter.Or{Left: inBothSpellings(t, e.Left), Right: inBothSpellings(t, e.Right)}
	case *filter.Not:
		return &filter.Not{Expr: inBothSpellings(t, e.Expr)}
	case *filter.ValuePath:
		return &filter.ValuePath{Attr: e.Attr, Filter: inBothSpellings(t, e.Filter)}
	case *filter.Compare:
		if e.Op != filter.Eq || e.Value.IsNull() || e.Attr != t.emailValue && e.Attr != t.userName {
			return e
		}
		if s := emailSpellings(e.Value.Text()); len(s) > 1 {
			return &filter.Or{Left: e, Right: filter.Equal(e.Attr, s[1])}
		}
	case *filter.Present:
	}
	return e
}

// requireEmail returns a new user's email, or the refusal of one without (rule
// A2).
func requireEmail(d *Directory, r *Resource) (string, error) {
	email, from := emailOf(r, d.Policy.EmailSource)
	if email != "" && isEmail(email) {
		return email, nil
	}
	if email != "" {
		return "", refuse(http.StatusBadRequest, InvalidValue, from.Path(), " ", attr.Quote(email), " does not have the form of an email; correct it in the provider").because(ReasonNoEmail)
	}
	detail := "the user has no email: send emails, or a userName in the form of an email"
	if d.Dialect == Entra {
		detail += "; in Entra ID the attribute mail is empty without Exchange: map userPrincipalName to emails[type eq \"work\"].value"
	}
	return "", refuse(http.StatusBadRequest, InvalidValue, detail).because(ReasonNoEmail)
}

// An emailChange is what a request does to a user's email: by rule A2 it was one
// value and is another.
type emailChange struct {
	was, is string
	from    *attr.Attribute // where the new one stands
}

// changed reports whether it is another address; case alone makes none (rule A3).
func (c emailChange) changed() bool { return !sameEmail(c.was, c.is) }

// emailChangeOf compares two states of a user.
func emailChangeOf(d *Directory, before, after *Resource) (c emailChange) {
	c.was, _ = emailOf(before, d.Policy.EmailSource)
	c.is, c.from = emailOf(after, d.Policy.EmailSource)
	return c
}

// keepEmail applies rule A4, the immutable email: it sets the email of account,
// what the host knows, to what it is to be from now on, and notes a change that
// is held back, by whatever path it came. before and after are the user as it was and
// as the request would make it. A refusal carries the event that records it.
func keepEmail(d *Directory, c emailChange, before, after *Resource, account *AccountState) error {
	if c.changed() && sameEmail(c.is, account.Email) { // what was held back is taken back
		account.RefusedEmail = ""
		return nil
	}
	if !after.User().Active() { // a leaver always leaves
		if c.changed() {
			account.RefusedEmail = c.is
		}
		return nil
	}
	allowed := mayChangeEmail(d, c.is) || account.ApprovedEmail != "" && sameEmail(account.ApprovedEmail, c.is)
	if !c.changed() {
		// Who comes back gets the email that was held back while the person
		// was out, if nothing but that was in its way.
		if allowed && !before.User().Active() && !sameEmail(c.is, account.Email) {
			account.Email, account.RefusedEmail, account.ApprovedEmail = c.is, "", ""
		}
		return nil
	}
	if c.is == "" && d.Policy.Email == RejectEmailChange {
		_, from := emailOf(before, d.Policy.EmailSource)
		return refuse(http.StatusBadRequest, Mutability, from.Path(), " is immutable here: a person's email cannot be removed by provisioning; send it again, or deactivate the person").because(ReasonEmailImmutable)
	}
	if _, err := requireEmail(d, after); err != nil {
		return err
	}
	switch {
	case allowed:
		account.Email, account.RefusedEmail, account.ApprovedEmail = c.is, "", ""
		return nil
	case d.Policy.Email == KeepEmail:
		account.RefusedEmail = c.is
		return nil
	}
	remedy := "; ask the application's administrator to approve the change, or change it back in the provider"
	if d.Policy.Email == EmailWithinDomains {
		remedy = "; the new address must be in a registered domain of the organization"
	}
	e := refuse(http.StatusBadRequest, Mutability, c.from.Path(), " is immutable here: a person's email cannot be changed by provisioning", remedy).because(ReasonEmailImmutable)
	e.event = &Event{Type: UserEmailChangeRejected, Data: before, Note: c.is}
	return e
}
