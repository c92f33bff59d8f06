package scim

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/muster-id/scim/attr"
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
	return at > 0 && at < len(s)-1 && !strings.ContainsAny(s, " \t\r\n<>,;\"") && strings.IndexByte(s, '@') == at
}

// sameEmail reports whether two emails are the same person's address (rule
// A3): local part without case, domain in its ASCII form. Tags and dots count.
func sameEmail(a, b string) bool {
	if a == b {
		return true
	}
	la, da := splitEmail(a)
	lb, db := splitEmail(b)
	return strings.EqualFold(la, lb) && sameDomain(da, db)
}

func splitEmail(s string) (local, domain string) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s, ""
	}
	return s[:at], s[at+1:]
}

// foldEmail returns the form of an email in which equal ones are equal strings.
func foldEmail(s string) string {
	local, domain := splitEmail(s)
	if domain == "" {
		return attr.Fold(local)
	}
	return attr.Fold(local) + "@" + asciiDomain(domain)
}

// sameDomain compares domains by their IDNA ASCII form.
func sameDomain(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	if isASCII(a) && isASCII(b) {
		return false
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

// requireEmail returns a new user's email, or the refusal of one without (rule
// A2).
func requireEmail(d *Directory, r *Resource) (string, *attr.Attribute, error) {
	email, from := emailOf(r, d.Policy.EmailSource)
	if email != "" && isEmail(email) {
		return email, from, nil
	}
	if email != "" {
		return "", nil, refuse(http.StatusBadRequest, InvalidValue, from.Path(), " ", attr.Quote(email), " does not have the form of an email; correct it in the provider")
	}
	detail := "the user has no email: send emails, or a userName in the form of an email"
	if d.Dialect == Entra {
		detail += "; in Entra ID the attribute mail is empty without Exchange: map userPrincipalName to emails[type eq \"work\"].value"
	}
	return "", nil, refuse(http.StatusBadRequest, InvalidValue, detail)
}

// An emailChange is what rule A4 makes of a changed email.
type emailChange struct {
	email   string // the account's from now on
	refused string // kept back, to be shown to an administrator
}

// changeEmail applies rule A4, the immutable email: before and after are the
// user as it was and as the request would make it, account is what the host
// knows. A change is a different value by rule A2, by whatever path it came;
// case alone is none.
func changeEmail(d *Directory, before, after *Resource, account *AccountState) (emailChange, error) {
	was, _ := emailOf(before, d.Policy.EmailSource)
	kept := was
	var approved, refused string
	if account != nil {
		kept, approved, refused = account.Email, account.ApprovedEmail, account.RefusedEmail
	}
	email, from := emailOf(after, d.Policy.EmailSource)
	leaving := !after.User().Active()
	if sameEmail(was, email) {
		return emailChange{kept, refused}, nil
	}
	keep := emailChange{kept, email}
	if leaving {
		return keep, nil // a leaver always leaves
	}
	if _, _, err := requireEmail(d, after); err != nil {
		return emailChange{}, err
	}
	allowed := approved != "" && sameEmail(approved, email)
	switch d.Policy.Email {
	case AllowEmailChange:
		allowed = true
	case KeepEmail:
		if !allowed {
			return keep, nil
		}
	case EmailWithinDomains:
		allowed = allowed || registered(d, email)
	case RejectEmailChange:
	}
	if allowed {
		return emailChange{email: email}, nil
	}
	remedy := "; ask the application's administrator to approve the change, or change it back in the provider"
	if d.Policy.Email == EmailWithinDomains {
		remedy = "; the new address must be in a registered domain of the organization"
	}
	e := refuse(http.StatusBadRequest, Mutability, from.Path(), " is immutable here: a person's email cannot be changed by provisioning", remedy)
	if account != nil && !sameEmail(refused, email) {
		e.event = &Event{Type: UserEmailChangeRejected, Data: before, Note: email} // once per distinct value
	}
	return emailChange{}, e
}
