package main

import (
	"encoding/json"
	"fmt"
)

// The schema URNs that the documents and messages name.
const (
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	patchURN      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// emailDomain is the one domain of every userName and work email; a subject that
// checks domains must have it registered.
const emailDomain = "example.com"

// Two titles of one length. PUT alternates between them, because a benchmark that
// sends the same body twice measures how fast a server notices that nothing changed.
const (
	titleFirst  = "Engineer"
	titleSecond = "Director"
)

// scanPrefix begins the given name of one user in fifty: what the scan looks for.
const scanPrefix = "Zo"

var givenNames = [50]string{
	"Ada", "Alan", "Anita", "Barbara", "Ben", "Carla", "Carol", "Dana", "Dennis", "Dora",
	"Edith", "Edsger", "Elena", "Emil", "Fatima", "Felix", "Frances", "Grace", "Hanna", "Hugo",
	"Ines", "Irene", "Jan", "Jean", "Joan", "Karen", "Kemal", "Klara", "Lena", "Leslie",
	"Lotte", "Mary", "Maya", "Milan", "Nadia", "Niklas", "Olga", "Omar", "Paula", "Peter",
	"Radia", "Robin", "Sophie", "Stefan", "Tariq", "Tim", "Ursula", "Vera", "Yukihiro", "Zoe",
}

var familyNames = [40]string{
	"Allen", "Backus", "Bartik", "Booth", "Church", "Clarke", "Codd", "Conway", "Dahl", "Dijkstra",
	"Easley", "Floyd", "Goldberg", "Gray", "Hamming", "Hamilton", "Holberton", "Hoare", "Hopper", "Iverson",
	"Johnson", "Kahan", "Karp", "Keller", "Lampson", "Liskov", "Lovelace", "McCarthy", "Milner", "Naur",
	"Newell", "Noether", "Perlis", "Perlman", "Rabin", "Ritchie", "Scott", "Thompson", "Turing", "Wirth",
}

var departments = [8]string{
	"Platform", "Research", "Security", "Payments", "Support", "Logistics", "Marketing", "Finance",
}

// mix scatters i, so that neighbouring users share neither a name nor a group
// (Steele, Lea and Flood, SplitMix64).
func mix(i int) uint64 {
	x := uint64(i) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func givenName(i int) string  { return givenNames[mix(i)%uint64(len(givenNames))] }
func familyName(i int) string { return familyNames[(mix(i)>>20)%uint64(len(familyNames))] }

// userName is the unique name of user i, in the form of an email.
func userName(i int) string { return fmt.Sprintf("user.%07d@%s", i, emailDomain) }

// appendUser appends the document of user i as canonical JSON, without id and meta:
// about 760 bytes and, schemas apart, 32 values (complex ones and the elements of
// lists are counted too), the enterprise extension included. The same i and title
// give the same bytes.
func appendUser(dst []byte, i int, title string) []byte {
	given, family := givenName(i), familyName(i)
	number := fmt.Sprintf("%07d", i)
	department := departments[(mix(i)>>40)%uint64(len(departments))]

	dst = append(dst, `{"schemas":["`+userURN+`","`+enterpriseURN+`"]`...)
	dst = append(dst, `,"externalId":"00u5kq9`+number+`pV9d7","userName":"`+userName(i)+`"`...)
	dst = append(dst, `,"name":{"familyName":"`+family+`","givenName":"`+given+`"}`...)
	dst = append(dst, `,"displayName":"`+given+` `+family+`","nickName":"`+given+`","title":"`+title+`"`...)
	dst = append(dst, `,"locale":"en-GB","timezone":"Europe/Berlin","active":true`...)
	dst = append(dst, `,"emails":[{"value":"`+userName(i)+`","type":"work","primary":true}`...)
	dst = append(dst, `,{"value":"home`+number+`@mail.test","type":"home"}]`...)
	dst = append(dst, `,"phoneNumbers":[{"value":"+49 30 `+number+`","type":"work"}]`...)
	dst = append(dst, `,"addresses":[{"locality":"Berlin","country":"DE"}]`...)
	dst = append(dst, `,"`+enterpriseURN+`":{"employeeNumber":"E`+number+`"`...)
	dst = append(dst, `,"department":"`+department+`","manager":{"value":"00u5kq90000000pV9d7"}}}`...)
	return dst
}

// The groups of a population. Every user is a member of three: two teams and
// everyone, save the hundred users spread over all of them that are in the group
// named hundred instead of their second team.
const (
	teamCount     = 100
	everyoneName  = "Everyone"
	hundredName   = "Hundred"
	hundredLength = 100
)

func teamName(t int) string { return fmt.Sprintf("Team %03d", t) }

// teamsOf returns the two different teams of user i.
func teamsOf(i int) (first, second int) {
	h := mix(i) >> 8
	first = int(h % teamCount)
	second = (first + 1 + int(h/teamCount%(teamCount-1))) % teamCount
	return first, second
}

// groupBody returns a group of the given name and members, given by id.
func groupBody(name string, members []string) []byte {
	dst := []byte(`{"schemas":["` + groupURN + `"],"displayName":"` + name + `"`)
	if len(members) > 0 {
		dst = append(dst, `,"members":`...)
		dst = appendMembers(dst, members)
	}
	return append(dst, '}')
}

func appendMembers(dst []byte, members []string) []byte {
	dst = append(dst, '[')
	for i, id := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"value":"`+id+`"}`...)
	}
	return append(dst, ']')
}

// The PATCH bodies of RFC 7644 section 3.5.2 that the calls send, in the spelling
// of Okta and of Entra with its conformance flag.

func patchActive(active bool) []byte {
	return fmt.Appendf(nil, `{"schemas":["%s"],"Operations":[{"op":"replace","path":"active","value":%t}]}`, patchURN, active)
}

func patchAddMember(id string) []byte {
	return fmt.Appendf(nil, `{"schemas":["%s"],"Operations":[{"op":"add","path":"members","value":[{"value":"%s"}]}]}`, patchURN, id)
}

func patchRemoveMember(id string) []byte {
	path, err := json.Marshal(`members[value eq "` + id + `"]`)
	if err != nil {
		panic(err) // a string without invalid UTF-8 always encodes
	}
	return fmt.Appendf(nil, `{"schemas":["%s"],"Operations":[{"op":"remove","path":%s}]}`, patchURN, path)
}
