(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  // The plane of the map is that of the rasters' CRS: x to the east and y to the north, in metres.
  var map = L.map("map", { crs: L.CRS.Simple, minZoom: -12, maxZoom: 6, zoomSnap: 0.25, attributionControl: false });
  L.control.scale({ imperial: false }).addTo(map);
  map.createPane("sites").style.zIndex = 620;

  function corners(bounds) { return [[bounds[1], bounds[0]], [bounds[3], bounds[2]]]; }
  function element(name, text, parent) {
    var made = document.createElement(name);
    if (text !== undefined) { made.textContent = text; }
    if (parent) { parent.appendChild(made); }
    return made;
  }

  var whole = L.latLngBounds([]);
  data.layers.forEach(function (layer) { whole.extend(corners(layer.bounds)); });

  // --- rasters: one at a time ---
  var select = document.getElementById("layer");
  var opacity = document.getElementById("opacity");
  var groups = {};
  data.layers.forEach(function (layer, place) {
    if (!groups[layer.group]) {
      groups[layer.group] = element("optgroup", undefined, select);
      groups[layer.group].label = layer.group;
    }
    element("option", layer.title, groups[layer.group]).value = place;
  });
  var shown = null;
  var pixels = null;

  function show(place) {
    var layer = data.layers[place];
    if (shown) { map.removeLayer(shown); }
    pixels = null;
    shown = L.imageOverlay(layer.image, corners(layer.bounds), { opacity: opacity.value / 100, alt: layer.title });
    shown.addTo(map);
    showLegend(layer);
    readPixels(layer);
  }

  function showLegend(layer) {
    var legend = document.getElementById("legend");
    legend.textContent = "";
    element("h3", layer.title, legend);
    if (layer.legendTitle !== layer.title) { element("p", layer.legendTitle, legend).className = "note"; }
    var list = element("ul", undefined, legend);
    layer.legend.forEach(function (entry) {
      var item = element("li", undefined, list);
      element("i", undefined, item).style.background = entry[0];
      element("span", entry[1], item);
    });
    if (layer.reducedTo) {
      element("p", "Reduced to pixels of " + layer.reducedTo + " m.", legend).className = "note";
    }
  }

  // Colours stand for values: the value under the pointer is read from the picture.
  function readPixels(layer) {
    var picture = new Image();
    picture.onload = function () {
      var canvas = document.createElement("canvas");
      canvas.width = picture.width;
      canvas.height = picture.height;
      var context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      var texts = {};
      layer.values.forEach(function (entry) {
        var key = entry[0] + "," + entry[1] + "," + entry[2];
        if (!(key in texts)) { texts[key] = entry[3]; }
      });
      if (data.layers[select.value] !== layer) { return; }
      pixels = { context: context, texts: texts, width: canvas.width, height: canvas.height, bounds: layer.bounds };
    };
    picture.src = layer.image;
  }

  function valueAt(x, y) {
    if (!pixels) { return ""; }
    var b = pixels.bounds;
    var col = Math.floor((x - b[0]) / (b[2] - b[0]) * pixels.width);
    var row = Math.floor((b[3] - y) / (b[3] - b[1]) * pixels.height);
    if (col < 0 || row < 0 || col >= pixels.width || row >= pixels.height) { return ""; }
    var colour = pixels.context.getImageData(col, row, 1, 1).data;
    if (colour[3] === 0) { return "no data"; }
    return pixels.texts[colour[0] + "," + colour[1] + "," + colour[2]] || "";
  }

  map.on("mousemove", function (event) {
    var x = event.latlng.lng, y = event.latlng.lat;
    var value = valueAt(x, y);
    document.getElementById("readout").textContent =
      "E " + (x + data.origin[0]).toFixed(1) + "  N " + (y + data.origin[1]).toFixed(1) + (value ? "  \u00b7  " + value : "");
  });

  // --- features: each layer on or off ---
  function leafletGeometry(feature) {
    // GeoJSON of Leaflet takes coordinates as x and y, which are those of the plane here.
    return { type: "Feature", properties: {}, geometry: { type: feature.type, coordinates: feature.coordinates } };
  }

  function popup(feature) {
    var box = element("div");
    box.className = "popup";
    element("strong", feature.title, box);
    var table = element("table", undefined, box);
    feature.rows.forEach(function (row) {
      var line = element("tr", undefined, table);
      element("th", row[0].replace(/_/g, " "), line);
      element("td", row[1], line);
    });
    return box;
  }

  function beam(feature) {
    var length = 26, half = 22 * Math.PI / 180, middle = feature.azimuth * Math.PI / 180;
    function corner(angle) { return (30 + length * Math.sin(angle)).toFixed(1) + "," + (30 - length * Math.cos(angle)).toFixed(1); }
    return "<polygon points='30,30 " + corner(middle - half) + " " + corner(middle + half) + "' fill='#11111155' stroke='#111' stroke-width='1'/>";
  }

  function siteMarker(feature) {
    var wedge = typeof feature.azimuth === "number" ? beam(feature) : "";
    var picture = "<svg width='60' height='60' viewBox='0 0 60 60'>" + wedge + "<circle cx='30' cy='30' r='5' fill='#fff' stroke='#111' stroke-width='2'/></svg>";
    var icon = L.divIcon({ html: picture, className: "site", iconSize: [60, 60], iconAnchor: [30, 30] });
    return L.marker([feature.coordinates[1], feature.coordinates[0]], { icon: icon, pane: "sites" })
      .bindTooltip(feature.title, { direction: "top", offset: [0, -6] });
  }

  var drawn = {};
  data.features.forEach(function (layer) {
    var group = L.layerGroup();
    drawn[layer.name] = [];
    layer.features.forEach(function (feature, place) {
      var made;
      if (layer.name === "sites") {
        made = siteMarker(feature);
      } else {
        made = L.geoJSON(leafletGeometry(feature), {
          style: { color: feature.colour, weight: 2, fillColor: feature.colour, fillOpacity: layer.name === "holes" ? 0.12 : 0.25 },
          pointToLayer: function (_point, latlng) { return L.circleMarker(latlng, { radius: 5, color: feature.colour }); }
        });
        if (layer.name === "holes" && place < 30) {
          var label = feature.title.replace(/^\D+/, "");
          made.bindTooltip(label, { permanent: true, direction: "center", className: "hole-label" });
        }
      }
      made.bindPopup(function () { return popup(feature); });
      made.addTo(group);
      drawn[layer.name].push(made);
    });
    if (layer.shown) { group.addTo(map); }
    var label = element("label", undefined, document.getElementById("overlays"));
    var box = element("input", undefined, label);
    box.type = "checkbox";
    box.checked = layer.shown;
    box.dataset.layer = layer.name;
    box.addEventListener("change", function () { if (box.checked) { group.addTo(map); } else { map.removeLayer(group); } });
    var count = layer.total > layer.features.length ? layer.features.length + " of " + layer.total : String(layer.total);
    label.appendChild(document.createTextNode(" " + layer.title + " (" + count + ")"));
  });

  // --- jump from the list to the map ---
  document.querySelectorAll("button.jump").forEach(function (button) {
    button.addEventListener("click", function () {
      var box = document.querySelector("#overlays input[data-layer='" + button.dataset.layer + "']");
      if (box && !box.checked) { box.click(); }
      var target = (drawn[button.dataset.layer] || [])[button.dataset.place];
      if (!target) { return; }
      document.querySelectorAll("tr.chosen").forEach(function (row) { row.classList.remove("chosen"); });
      button.closest("tr").classList.add("chosen");
      document.getElementById("map-section").scrollIntoView({ block: "start" });
      map.fitBounds(target.getBounds().pad(0.6), { animate: false, maxZoom: 3 });
      target.openPopup(target.getBounds().getCenter());
    });
  });

  function fit() { map.fitBounds(whole, { animate: false, padding: [8, 8] }); }
  select.addEventListener("change", function () { show(select.value); });
  opacity.addEventListener("input", function () { if (shown) { shown.setOpacity(opacity.value / 100); } });
  document.getElementById("fit").addEventListener("click", fit);
  // On paper the map has another size, which must be set before the page is laid out for it: that
  // of A4, which also fits on Letter.
  var box = document.getElementById("map");
  function resize(width, height) {
    box.style.width = width;
    box.style.height = height;
    box.style.flex = width ? "none" : "";
    map.invalidateSize({ animate: false });
    fit();
  }
  window.addEventListener("beforeprint", function () { map.closePopup(); resize("510px", "460px"); });
  window.addEventListener("afterprint", function () { resize("", ""); });

  fit();
  show(0);
  document.documentElement.dataset.ready = "yes";
})();
