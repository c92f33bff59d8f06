package scim

import (
	"fmt"
	"slices"
	"strings"
)

// Policies and dialects are written by name in configuration: each is an
// encoding.TextMarshaler and TextUnmarshaler.

var (
	emailPolicies  = []string{RejectEmailChange: "reject", KeepEmail: "keep", EmailWithinDomains: "domains", AllowEmailChange: "allow"}
	emailSources   = []string{EmailsThenUserName: "emails", UserNameThenEmails: "userName"}
	domainPolicies = []string{RejectDomain: "reject", GuestDomain: "guest", AnyDomain: "any"}
	memberPolicies = []string{DropUnknownMembers: "drop", RejectUnknownMembers: "reject"}
	lockPolicies   = []string{ManagedOnly: "managed", StrictLock: "strict", LastWriteWins: "last-write-wins"}
	seatPolicies   = []string{RefuseSeats: "refuse", FreeRoleSeats: "free-role", HoldSeats: "hold", OverageSeats: "overage"}
	massPolicies   = []string{AlertMassChange: "alert", HoldMassChange: "hold"}
	switchNames    = []string{"create", "update", "deactivate", "groups"} // by bit
)

func nameOf[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%T(%d)", v, uint8(v))
}

func named[T ~uint8](names []string, v *T, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("scim: %q is none of %s", text, strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}

// String returns the policy's name: reject, keep, domains or allow.
func (p EmailPolicy) String() string { return nameOf(emailPolicies, p) }

// MarshalText returns the policy's name.
func (p EmailPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the policy's name.
func (p *EmailPolicy) UnmarshalText(text []byte) error { return named(emailPolicies, p, text) }

// String returns the source's name: emails or userName.
func (s EmailSource) String() string { return nameOf(emailSources, s) }

// MarshalText returns the source's name.
func (s EmailSource) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the source's name.
func (s *EmailSource) UnmarshalText(text []byte) error { return named(emailSources, s, text) }

// String returns the policy's name: reject, guest or any.
func (p DomainPolicy) String() string { return nameOf(domainPolicies, p) }

// MarshalText returns the policy's name.
func (p DomainPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the policy's name.
func (p *DomainPolicy) UnmarshalText(text []byte) error { return named(domainPolicies, p, text) }

// String returns the policy's name: drop or reject.
func (p UnknownMemberPolicy) String() string { return nameOf(memberPolicies, p) }

// MarshalText returns the policy's name.
func (p UnknownMemberPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the policy's name.
func (p *UnknownMemberPolicy) UnmarshalText(text []byte) error { return named(memberPolicies, p, text) }

// String returns the policy's name: managed, strict or last-write-wins.
func (p LockPolicy) String() string { return nameOf(lockPolicies, p) }

// MarshalText returns the policy's name.
func (p LockPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the policy's name.
func (p *LockPolicy) UnmarshalText(text []byte) error { return named(lockPolicies, p, text) }

// String returns the policy's name: refuse, free-role, hold or overage.
func (p SeatPolicy) String() string { return nameOf(seatPolicies, p) }

// MarshalText returns the policy's name.
func (p SeatPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the policy's name.
func (p *SeatPolicy) UnmarshalText(text []byte) error { return named(seatPolicies, p, text) }

// String returns the policy's name: alert or hold.
func (p MassChangePolicy) String() string { return nameOf(massPolicies, p) }

// MarshalText returns the policy's name.
func (p MassChangePolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the policy's name.
func (p *MassChangePolicy) UnmarshalText(text []byte) error { return named(massPolicies, p, text) }

// MarshalText returns the dialect's name.
func (d Dialect) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the dialect's name.
func (d *Dialect) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDialect(string(text))
	return err
}

// Has reports whether all of the switches are among s.
func (s Switches) Has(all Switches) bool { return s&all == all }

// String returns the names of the switches, separated by commas: create,
// update, deactivate, groups.
func (s Switches) String() string {
	var names []string
	for i, name := range switchNames {
		if s.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// MarshalText returns what String does.
func (s Switches) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText returns.
func (s *Switches) UnmarshalText(text []byte) error {
	var all Switches
	for name := range strings.SplitSeq(string(text), ",") {
		if name == "" {
			continue
		}
		i := slices.Index(switchNames, name)
		if i < 0 {
			return fmt.Errorf("scim: %q is none of %s", name, strings.Join(switchNames, ", "))
		}
		all |= 1 << i
	}
	*s = all
	return nil
}
