{{- /* An image as a container names it. A digest says more than a tag, so that it goes before. */ -}}
{{- define "region-tick.image" -}}
{{- with .digest -}}{{ printf "%s@%s" $.repository . | quote }}{{- else -}}{{ printf "%s:%s" .repository .tag | quote }}{{- end -}}
{{- end -}}

{{- /* The settings as environment variables. Whoever has the RegionScheduler in the chart wants none from the operator.
toJson, because Helm writes a large number as 1e+06 otherwise. */ -}}
{{- define "region-tick.settings" -}}
{{- $given := .Values.regionScheduler.create | ternary (dict "BOOTSTRAP" false) dict -}}
{{- range $name, $value := merge (dict) .Values.operator.settings $given }}
- {name: {{ $name }}, value: {{ toJson $value | trimAll "\"" | quote }}}
{{- end -}}
{{- end -}}
