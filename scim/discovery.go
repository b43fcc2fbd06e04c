package scim

import (
	"encoding/json"
	"net/http"
	"strings"
)

const (
	spcURN          = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	resourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	schemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
)

// RFC 7644 section 4: a filter on discovery is 403, so that nobody takes a part for the whole; every
// other parameter of a query is ignored.
func unfiltered(c *call) error {
	if strings.TrimSpace(c.query.Get("filter")) != "" {
		return Errorf(http.StatusForbidden, "", "Discovery cannot be filtered.")
	}
	return nil
}

func (h *Handler) serviceProviderConfig(c *call) error {
	if err := unfiltered(c); err != nil {
		return err
	}
	flag := func(on bool) map[string]any { return map[string]any{"supported": on} }
	config := map[string]any{
		"schemas":        []string{spcURN},
		"patch":          flag(true),
		"bulk":           map[string]any{"supported": true, "maxOperations": BulkLimit, "maxPayloadSize": MaxBulk},
		"filter":         map[string]any{"supported": true, "maxResults": MaxPage},
		"changePassword": flag(false),
		"sort":           flag(true),
		"etag":           flag(true),
		"pagination": map[string]any{ // RFC 9865 section 4
			"cursor": true, "index": true, "defaultPaginationMethod": "index",
			"defaultPageSize": DefaultPage, "maxPageSize": MaxPage, "cursorTimeout": int(CursorTimeout.Seconds()),
		},
		"authenticationSchemes": []map[string]any{{
			"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
			"description": "The token of the directory, sent as Authorization: Bearer.",
			"specUri":     "https://www.rfc-editor.org/rfc/rfc6750",
		}},
		"meta": map[string]any{
			"resourceType": "ServiceProviderConfig",
			"location":     c.tenant.Base + "/ServiceProviderConfig",
		},
	}
	if h.DocumentationURI != "" {
		config["documentationUri"] = h.DocumentationURI
	}
	return sendJSON(c, config)
}

func (h *Handler) resourceTypes(c *call) error {
	if err := unfiltered(c); err != nil {
		return err
	}
	all := make([]json.RawMessage, 0, len(h.Types))
	for _, rt := range h.Types {
		all = append(all, rt.JSON(c.tenant.Base))
	}
	return sendAll(c, all)
}

func (h *Handler) resourceType(c *call) error {
	if err := unfiltered(c); err != nil {
		return err
	}
	rt := h.typeNamed(c.id)
	if rt == nil {
		return Errorf(http.StatusNotFound, "", "There is no resource type %q.", c.id)
	}
	send(c.w, http.StatusOK, rt.JSON(c.tenant.Base))
	return nil
}

func (h *Handler) allSchemas() []*Schema {
	var all []*Schema
	for _, rt := range h.Types {
		all = append(all, rt.Schema)
		for _, e := range rt.Extensions {
			all = append(all, e.Schema)
		}
	}
	return all
}

func (h *Handler) schemas(c *call) error {
	if err := unfiltered(c); err != nil {
		return err
	}
	var all []json.RawMessage
	for _, s := range h.allSchemas() {
		all = append(all, s.JSON(c.tenant.Base))
	}
	return sendAll(c, all)
}

func (h *Handler) schema(c *call) error {
	if err := unfiltered(c); err != nil {
		return err
	}
	for _, s := range h.allSchemas() {
		if strings.EqualFold(s.ID, c.id) {
			send(c.w, http.StatusOK, s.JSON(c.tenant.Base))
			return nil
		}
	}
	return Errorf(http.StatusNotFound, "", "There is no schema %q.", c.id)
}

func sendAll(c *call, all []json.RawMessage) error {
	return sendJSON(c, map[string]any{
		"schemas": []string{listURN}, "totalResults": len(all), "startIndex": 1, "itemsPerPage": len(all), "Resources": all,
	})
}

func sendJSON(c *call, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	send(c.w, http.StatusOK, body)
	return nil
}
